package ranges

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/imagejobs/imagejobs-go/oraclemarket"
)

// scripted is an object whose n-th stream, from 1, is what the script makes of
// the right one.
type scripted struct {
	data   []byte
	script func(ctx context.Context, n int, r io.Reader) (io.Reader, error)

	mu      sync.Mutex
	opened  []int64 // offsets
	streams int     // streams that are not closed
}

func (s *scripted) Open(ctx context.Context, offset, length int64) (io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opened = append(s.opened, offset)
	var r io.Reader = bytes.NewReader(s.data[offset : offset+length])
	if s.script != nil {
		var err error
		if r, err = s.script(ctx, len(s.opened), r); err != nil {
			return nil, err
		}
	}
	s.streams++
	return &counted{r, s}, nil
}

type counted struct {
	io.Reader
	object *scripted
}

func (c *counted) Close() error {
	c.object.mu.Lock()
	defer c.object.mu.Unlock()
	c.object.streams--
	return nil
}

func TestSourceIsAReaderAt(t *testing.T) {
	data := content(20, 10_000)
	for _, span := range []int64{1, 7, 1000, 10_000, 1 << 40} {
		o := &scripted{data: data}
		s := NewSource(t.Context(), o, int64(len(data)), span, 3, firstPause)
		require.NoError(t, iotest.TestReader(io.NewSectionReader(s, 0, s.size), data))
		s.Close()
		require.Zero(t, o.streams)
		_, err := s.ReadAt(nil, -1)
		require.Error(t, err)
		n, err := s.ReadAt(make([]byte, 8), s.size)
		require.Zero(t, n)
		require.Equal(t, io.EOF, err)
	}
}

// Readers that take turns have a stream each. One that starts over leaves none
// behind.
func TestStreams(t *testing.T) {
	const span, readers = 64 << 10, 8
	data := content(21, readers*span)
	o := &scripted{data: data}
	s := NewSource(t.Context(), o, int64(len(data)), span, readers, firstPause)
	group := errgroup.Group{}
	for i := range int64(readers) {
		group.Go(func() error {
			if _, err := s.ReadAt(make([]byte, 1000), i*span); err != nil {
				return err
			}
			for _, piece := range []int{100, 3000} { // the checksum, and the request
				got, err := io.ReadAll(&pieces{io.NewSectionReader(s, i*span, span), piece})
				if err != nil || !bytes.Equal(got, data[i*span:(i+1)*span]) {
					return errors.Join(err, errors.New("not what is stored"))
				}
			}
			return nil
		})
	}
	require.NoError(t, group.Wait())
	require.Len(t, o.opened, 3*readers)
	require.Zero(t, o.streams)

	for i := range int64(readers) { // more than are kept
		s.limit = 3
		_, err := s.ReadAt(make([]byte, 10), i*span)
		require.NoError(t, err)
	}
	require.Equal(t, 3, o.streams)
	s.Close()
	require.Zero(t, o.streams)
}

// Reads that go on from span to span share streams.
func TestReadOfSeveralSpans(t *testing.T) {
	for piece, opened := range map[int][]int64{
		450: {0, 500},
		128: {0, 200, 400, 600, 800},
		100: {0, 100, 200, 300, 400, 500, 600, 700, 800, 900},
	} {
		o := &scripted{data: content(23, 1000)}
		s := NewSource(t.Context(), o, 1000, 100, 1, firstPause)
		got := make([]byte, 1000)
		for at := 0; at < len(got); at += piece {
			_, err := s.ReadAt(got[at:min(at+piece, len(got))], int64(at))
			require.NoError(t, err)
		}
		require.Equal(t, o.data, got)
		require.Equal(t, opened, o.opened)
		s.Close()
		require.Zero(t, o.streams)
	}
}

type pieces struct {
	io.Reader
	size int
}

func (p *pieces) Read(b []byte) (int, error) { return p.Reader.Read(b[:min(len(b), p.size)]) }

var errBroken = errors.New("connection reset")

// Attempts are few, and in all shorter than the minute after which the client
// gives up a chunk.
func TestAttempts(t *testing.T) {
	for name, test := range map[string]struct {
		script   func(ctx context.Context, n int, r io.Reader) (io.Reader, error)
		opened   int
		min, max time.Duration
		err      error
	}{
		"refused": {
			func(context.Context, int, io.Reader) (io.Reader, error) { return nil, errBroken },
			attempts, 1750 * time.Millisecond, 3500 * time.Millisecond, errBroken,
		},
		"breaks before the first byte": {
			func(context.Context, int, io.Reader) (io.Reader, error) { return iotest.ErrReader(errBroken), nil },
			attempts, 1750 * time.Millisecond, 3500 * time.Millisecond, errBroken,
		},
		"empty": {
			func(context.Context, int, io.Reader) (io.Reader, error) { return bytes.NewReader(nil), nil },
			attempts, 1750 * time.Millisecond, 3500 * time.Millisecond, io.ErrUnexpectedEOF,
		},
		"no response": {
			func(ctx context.Context, _ int, _ io.Reader) (io.Reader, error) { <-ctx.Done(); return nil, ctx.Err() },
			attempts, 49 * time.Second, time.Minute - time.Second, errStalled,
		},
		"no byte": {
			func(ctx context.Context, _ int, _ io.Reader) (io.Reader, error) { return waiting{ctx}, nil },
			attempts, 49 * time.Second, time.Minute - time.Second, errStalled,
		},
		"final": {
			func(context.Context, int, io.Reader) (io.Reader, error) { return nil, Final("%w", errBroken) },
			1, 0, 0, errBroken,
		},
		"changed": {
			func(context.Context, int, io.Reader) (io.Reader, error) { return nil, Changed("it was replaced") },
			1, 0, 0, oraclemarket.ErrSourceChanged,
		},
		"asks for too much patience": {
			func(context.Context, int, io.Reader) (io.Reader, error) { return nil, unavailable(503, "11") },
			1, 0, 0, nil,
		},
		"asks for patience": {
			func(_ context.Context, n int, r io.Reader) (io.Reader, error) {
				if n == 1 {
					return nil, unavailable(503, "9")
				}
				return r, nil
			},
			2, 9 * time.Second, 9 * time.Second, nil,
		},
		"breaks, then goes on": {
			func(_ context.Context, n int, r io.Reader) (io.Reader, error) {
				if n == attempts {
					return r, nil
				}
				return iotest.ErrReader(errBroken), nil
			},
			attempts, 1750 * time.Millisecond, 3500 * time.Millisecond, nil,
		},
		"breaks after each byte": {
			func(_ context.Context, _ int, r io.Reader) (io.Reader, error) { return io.LimitReader(r, 1), nil },
			20, 0, 12 * time.Second, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := &scripted{data: content(22, 20), script: test.script}
				s := NewSource(t.Context(), o, 20, 1000, 3, firstPause)
				defer s.Close()
				began := time.Now()
				got := make([]byte, 20)
				_, err := s.ReadAt(got, 0)
				require.Len(t, o.opened, test.opened)
				require.GreaterOrEqual(t, time.Since(began), test.min)
				require.LessOrEqual(t, time.Since(began), test.max)
				switch {
				case test.err != nil:
					require.ErrorIs(t, err, test.err)
				case name == "asks for too much patience":
					require.ErrorContains(t, err, "503 Service Unavailable, Retry-After: 11")
				default:
					require.NoError(t, err)
					require.Equal(t, o.data, got)
				}
				require.Zero(t, o.streams)
			})
		})
	}
}

// waiting waits until its context ends.
type waiting struct{ ctx context.Context }

func (w waiting) Read([]byte) (int, error) {
	<-w.ctx.Done()
	return 0, w.ctx.Err()
}

// The end of the context ends a read at once, whatever it waits for.
func TestReadEndsWithItsContext(t *testing.T) {
	for _, script := range []func(ctx context.Context, n int, r io.Reader) (io.Reader, error){
		func(context.Context, int, io.Reader) (io.Reader, error) { return nil, errBroken },
		func(ctx context.Context, _ int, _ io.Reader) (io.Reader, error) { return waiting{ctx}, nil },
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			s := NewSource(ctx, &scripted{data: []byte("image"), script: script}, 5, 5, 1, firstPause)
			began := time.Now()
			_, err := s.ReadAt(make([]byte, 5), 0)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, 100*time.Millisecond, time.Since(began))
		})
	}
}
