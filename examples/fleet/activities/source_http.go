package activities

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-cleanhttp"

	"github.com/imagejobs/imagejobs-go/oraclemarket"
)

const (
	maxStreams = 16               // that are kept open
	readStall  = 30 * time.Second // without a byte
)

// httpSource reads a URL by ranges. It keeps each response open and reads on
// from it, or a chunk would cost a request for each of its pieces.
type httpSource struct {
	ctx    context.Context
	client *http.Client
	url    string
	size   int64
	// etag and modified are those of the first response. An ETag is sent with each
	// request if it is a strong one.
	etag, modified string

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
	s := &httpSource{ctx: ctx, client: cleanhttp.DefaultClient(), url: source}
	first, err := s.get(0) //nolint:contextcheck // it has ctx
	if err != nil {
		return nil, err
	}
	s.keep(first)
	return s, nil
}

func (s *httpSource) Size() int64 { return s.size }

func (s *httpSource) Version() (string, error) {
	return fmt.Sprintf("%d bytes, ETag %s, Last-Modified %s", s.size, s.etag, s.modified), nil
}

func (s *httpSource) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, old := range s.streams {
		old.close()
	}
	s.streams = nil
	return nil
}

func (s *httpSource) ReadAt(p []byte, offset int64) (int, error) {
	if offset >= s.size {
		return 0, io.EOF
	}
	from, err := s.take(offset)
	if err != nil {
		return 0, err
	}
	stalled := time.AfterFunc(readStall, from.cancel)
	n, err := io.ReadFull(from, p[:min(int64(len(p)), s.size-offset)])
	stalled.Stop()
	from.next += int64(n)
	if err != nil {
		from.close()
		return n, fmt.Errorf("read %s at %d: %w: %w", s.url, from.next, oraclemarket.ErrTransient, err)
	}
	s.keep(from)
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// take returns a stream at an offset, a new one if there is none.
func (s *httpSource) take(offset int64) (*stream, error) {
	s.mu.Lock()
	i := slices.IndexFunc(s.streams, func(o *stream) bool { return o.next == offset })
	if i < 0 {
		s.mu.Unlock()
		return s.get(offset)
	}
	defer s.mu.Unlock()
	found := s.streams[i]
	s.streams = slices.Delete(s.streams, i, i+1)
	return found, nil
}

func (s *httpSource) keep(one *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.streams = append(s.streams, one); len(s.streams) > maxStreams {
		s.streams[0].close()
		s.streams = slices.Delete(s.streams, 0, 1)
	}
}

// get requests the source from an offset to its end.
func (s *httpSource) get(offset int64) (*stream, error) {
	ctx, cancel := context.WithCancel(s.ctx)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, http.NoBody)
	if err != nil {
		cancel()
		return nil, badSource("%v", err)
	}
	r.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	r.Header.Set("Accept-Encoding", "identity")
	if s.etag != "" && !strings.HasPrefix(s.etag, "W/") {
		r.Header.Set("If-Match", s.etag)
	}
	stalled := time.AfterFunc(readStall, cancel)
	response, err := s.client.Do(r) //nolint:bodyclose // the stream closes it
	stalled.Stop()
	if err != nil {
		cancel()
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err // a redirect may lead to an URL with a signature
		}
		return nil, fmt.Errorf("%s: %w: %w", sourceField, oraclemarket.ErrTransient, err)
	}
	one := &stream{response.Body, offset, cancel}
	if err := s.check(response, offset); err != nil {
		one.close()
		return nil, err
	}
	return one, nil
}

// check compares a response with the first one.
func (s *httpSource) check(response *http.Response, offset int64) error {
	var from, to, size int64
	switch status := response.StatusCode; {
	case status == http.StatusPreconditionFailed, status == http.StatusRequestedRangeNotSatisfiable && s.size > 0:
		return &oraclemarket.SourceChangedError{Change: "its server responded " + response.Status}
	case status == http.StatusTooManyRequests, status == http.StatusRequestTimeout, status >= http.StatusInternalServerError:
		return fmt.Errorf("%s: %s: %w", sourceField, response.Status, oraclemarket.ErrTransient)
	case status != http.StatusPartialContent:
		return badSource("its server responded %s, not 206 Partial Content", response.Status)
	}
	text := response.Header.Get("Content-Range")
	if _, err := fmt.Sscanf(text, "bytes %d-%d/%d", &from, &to, &size); err != nil || from != offset || to+1 != size {
		return badSource("its server responded with the range %q to one from %d on", text, offset)
	}
	etag, modified := response.Header.Get("ETag"), response.Header.Get("Last-Modified")
	if s.size == 0 {
		s.size, s.etag, s.modified = size, etag, modified
	}
	if s.size != size || s.etag != etag || s.modified != modified {
		return &oraclemarket.SourceChangedError{Change: fmt.Sprintf("it was %d bytes, modified at %s, and is %d, modified at %s", s.size, s.modified, size, modified)}
	}
	return nil
}
