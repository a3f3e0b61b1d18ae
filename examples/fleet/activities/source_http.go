package activities

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/imagejobs/imagejobs-go/oraclemarket"
)

const (
	// maxStreams bounds the responses that are kept open, maxReads how often a
	// read is tried, and readStall how long it may make no progress.
	maxStreams = 16
	maxReads   = 5
	readStall  = 30 * time.Second
)

// httpSource reads a URL by ranges. It keeps each response open and reads on
// from it, or a chunk would cost a request for each of its pieces.
type httpSource struct {
	ctx      context.Context // until Close
	url      string
	size     int64
	etag     string // strong, or empty
	modified string

	mu      sync.Mutex
	streams []*stream // that nobody reads, the oldest first
}

// stream is the body of a response.
type stream struct {
	io.ReadCloser

	next   int64 // its offset
	cancel context.CancelFunc
}

func (s *stream) close() {
	s.cancel()
	_ = s.Close() // only read
}

func openHTTP(ctx context.Context, source string) (Source, error) {
	s := &httpSource{ctx: ctx, url: source}
	var first *stream
	err := s.retry(func() (err error) {
		first, err = s.get(0)
		return err
	})
	if err != nil {
		return nil, err
	}
	s.keep(first)
	return s, nil
}

// Size implements Source.
func (s *httpSource) Size() int64 { return s.size }

// Version implements Source.
func (s *httpSource) Version() (string, error) {
	return fmt.Sprintf("%d bytes, ETag %s, Last-Modified %s", s.size, s.etag, s.modified), nil
}

// Close implements Source.
func (s *httpSource) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, old := range s.streams {
		old.close()
	}
	s.streams = nil
	return nil
}

// ReadAt implements Source.
func (s *httpSource) ReadAt(p []byte, offset int64) (n int, err error) {
	end := false
	if left := max(s.size-offset, 0); int64(len(p)) >= left {
		p, end = p[:left], int64(len(p)) > left
	}
	for n < len(p) {
		err := s.retry(func() error {
			more, err := s.read(p[n:], offset+int64(n))
			n += more
			return err
		})
		if err != nil {
			return n, err
		}
	}
	if end {
		return n, io.EOF
	}
	return n, nil
}

// retry calls f again after failures in passing.
func (s *httpSource) retry(f func() error) error {
	for i := 1; ; i++ {
		err := f()
		if err == nil || i == maxReads || !errors.Is(err, oraclemarket.ErrTransient) {
			return err
		}
		if sleep(s.ctx, time.Duration(i)*time.Second) != nil {
			return err
		}
	}
}

// read fills p from one stream.
func (s *httpSource) read(p []byte, offset int64) (int, error) {
	from, err := s.take(offset)
	if err != nil {
		return 0, err
	}
	stalled := time.AfterFunc(readStall, from.cancel)
	n, err := io.ReadFull(from, p)
	stalled.Stop()
	from.next += int64(n)
	if err != nil {
		from.close()
		return n, fmt.Errorf("read %s at %d: %w: %w", s.url, offset, oraclemarket.ErrTransient, err)
	}
	s.keep(from)
	return n, nil
}

// take returns a stream at an offset, a new one if there is none.
func (s *httpSource) take(offset int64) (*stream, error) {
	s.mu.Lock()
	i := slices.IndexFunc(s.streams, func(o *stream) bool { return o.next == offset })
	if i >= 0 {
		found := s.streams[i]
		s.streams = slices.Delete(s.streams, i, i+1)
		s.mu.Unlock()
		return found, nil
	}
	s.mu.Unlock()
	return s.get(offset)
}

func (s *httpSource) keep(one *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.streams = append(s.streams, one)
	if len(s.streams) > maxStreams {
		s.streams[0].close()
		s.streams = slices.Delete(s.streams, 0, 1)
	}
}

// get requests the rest of the source from an offset on.
func (s *httpSource) get(offset int64) (*stream, error) {
	ctx, cancel := context.WithCancel(s.ctx)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		cancel()
		return nil, badSource("%v", err)
	}
	r.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	r.Header.Set("Accept-Encoding", "identity")
	if s.etag != "" {
		r.Header.Set("If-Match", s.etag)
	}
	stalled := time.AfterFunc(readStall, cancel)
	response, err := http.DefaultClient.Do(r)
	stalled.Stop()
	if err != nil {
		cancel()
		return nil, fmt.Errorf("%s: %w: %w", sourceField, oraclemarket.ErrTransient, err)
	}
	if err := s.check(response, offset); err != nil {
		cancel()
		_ = response.Body.Close() // only read
		return nil, err
	}
	return &stream{ReadCloser: response.Body, next: offset, cancel: cancel}, nil
}

// check compares a response with the first one.
func (s *httpSource) check(response *http.Response, offset int64) error {
	status := response.StatusCode
	switch {
	case status == http.StatusPreconditionFailed, status == http.StatusRequestedRangeNotSatisfiable && s.size > 0:
		return &oraclemarket.SourceChangedError{Change: s.url + " responded " + response.Status}
	case status == http.StatusTooManyRequests, status == http.StatusRequestTimeout, status >= http.StatusInternalServerError:
		return fmt.Errorf("%s: %s: %w", sourceField, response.Status, oraclemarket.ErrTransient)
	case status == http.StatusOK:
		return badSource("the server does not support ranges")
	case status != http.StatusPartialContent:
		return badSource("the server responded %s", response.Status)
	}
	unit, total, _ := strings.Cut(response.Header.Get("Content-Range"), "/")
	size, err := strconv.ParseInt(total, 10, 64)
	if err != nil || size < 1 || !strings.HasPrefix(unit, fmt.Sprintf("bytes %d-", offset)) {
		return badSource("the server responded to the range from %d with %q", offset, response.Header.Get("Content-Range"))
	}
	now := httpSource{size: size, etag: response.Header.Get("ETag"), modified: response.Header.Get("Last-Modified")}
	if strings.HasPrefix(now.etag, "W/") {
		now.etag = ""
	}
	if s.size == 0 {
		s.size, s.etag, s.modified = now.size, now.etag, now.modified
	}
	if s.size != now.size || s.etag != now.etag || s.modified != now.modified {
		return &oraclemarket.SourceChangedError{Change: fmt.Sprintf("%s was %d bytes of %s and is %d of %s", s.url, s.size, s.etag, now.size, now.etag)}
	}
	return nil
}
