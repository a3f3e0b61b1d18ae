package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/internal/auth"
	"github.com/imagejobs/imagejobs-go/internal/emulator"
	"github.com/imagejobs/imagejobs-go/internal/rawhttp"
	"github.com/imagejobs/imagejobs-go/internal/wire"
)

// sourceBody is a body read from an io.ReaderAt.
func sourceBody(r io.ReaderAt, size int64) *Body {
	return &Body{ContentType: "application/octet-stream", Size: size, Open: func() io.Reader { return io.NewSectionReader(r, 0, size) }}
}

func upload(class Repeat, body *Body) *Call {
	call := post(class, body)
	call.Upload = true
	return call
}

// An upload has an exact length, no chunked encoding and the bytes of its
// source, however it is read.
func TestUploadBytes(t *testing.T) {
	for _, size := range []int64{0, 1, 2, 511, 4095, 4096, 4097, 32 << 10, 1<<20 + 7} {
		for _, upload := range []bool{true, false} {
			t.Run(fmt.Sprintf("%d bytes, %t", size, upload), func(t *testing.T) {
				type seen struct {
					header   http.Header
					encoding []string
					body     []byte
				}
				got := make(chan seen, 1)
				s := serveTCP(t, func(c net.Conn, r *http.Request) bool {
					data, err := io.ReadAll(r.Body)
					got <- seen{r.Header, r.TransferEncoding, data}
					return err == nil && rawhttp.Respond(okJSON("{}"))(c, r)
				})
				log := &records{}
				c := newClient(t, Config{BaseURL: s.URL(), Logger: log.logger()})
				call := post(Once, sourceBody(rawhttp.Bits{}, size))
				call.Upload = upload
				_, _, err := do(t.Context(), c, call)
				require.NoError(t, err)
				request := <-got
				want := make([]byte, size)
				_, _ = rawhttp.Bits{}.ReadAt(want, 0)
				require.True(t, bytes.Equal(want, request.body))
				require.Equal(t, strconv.FormatInt(size, 10), request.header.Get("Content-Length"))
				require.Empty(t, request.encoding)
				require.Equal(t, "application/octet-stream", request.header.Get("Content-Type"))
				require.Contains(t, log.String(), fmt.Sprintf("bytes_sent=%d ", size))
			})
		}
	}
}

// The length of an image is exact however large it is, and nothing of it is
// read ahead into memory.
func TestLengthOfALargeUpload(t *testing.T) {
	for _, size := range []int64{math.MaxInt32 + 1, 3 << 30, 5 << 40} {
		header := make(chan http.Header, 1)
		s := serveTCP(t, func(c net.Conn, r *http.Request) bool {
			header <- r.Header
			_, _ = io.WriteString(c, rawhttp.Response("413 Content Too Large", "Connection: close\r\n", "too much"))
			return false
		})
		c := newClient(t, Config{BaseURL: s.URL()})
		_, _, err := do(t.Context(), c, upload(Once, sourceBody(rawhttp.Bits{}, size)))
		require.Equal(t, http.StatusRequestEntityTooLarge, failure(t, err).StatusCode)
		h := <-header
		require.Equal(t, strconv.FormatInt(size, 10), h.Get("Content-Length"))
		require.Empty(t, h.Get("Transfer-Encoding"))
	}
}

// An upload may take as long as it likes while bytes move.
func TestSlowUpload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const piece, pieces = 64 << 10, 20
		c, s := pipeClient(t, Config{Retry: noWait(1)}, rawhttp.Slowly(pieces, piece, 50*time.Second, rawhttp.Respond(okJSON("{}"))))
		start := time.Now()
		_, _, err := do(t.Context(), c, upload(Once, sourceBody(rawhttp.Bits{}, pieces*piece)))
		require.NoError(t, err)
		require.Equal(t, pieces*50*time.Second, time.Since(start))
		require.EqualValues(t, 1, s.Requests.Load())
	})
}

// What took long to send may stand in buffers on the way for as long.
func TestSlowAnswerToASlowUpload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const piece, pieces = 64 << 10, 20
		c, s := pipeClient(t, Config{Retry: noWait(1)}, rawhttp.Slowly(pieces, piece, 50*time.Second, func(c net.Conn, r *http.Request) bool {
			<-time.After(900 * time.Second)
			return rawhttp.Respond(okJSON("{}"))(c, r)
		}))
		_, _, err := do(t.Context(), c, upload(Once, sourceBody(rawhttp.Bits{}, pieces*piece)))
		require.NoError(t, err)
		require.EqualValues(t, 1, s.Requests.Load())
	})
}

// The wait for a free slot is no stall: other uploads have them all.
func TestUploadsQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const piece, pieces, uploads = 64 << 10, 5, 3
		c, s := pipeClient(t, Config{Retry: noWait(1)}, rawhttp.Slowly(pieces, piece, 50*time.Second, rawhttp.Respond(okJSON("{}"))))
		c.retry.next.slots = make(chan struct{}, 1)
		start := time.Now()
		errs := make(chan error, uploads)
		for range uploads {
			go func() {
				_, _, err := do(t.Context(), c, upload(Repeatable, sourceBody(rawhttp.Bits{}, pieces*piece)))
				errs <- err
			}()
		}
		for range uploads {
			require.NoError(t, <-errs)
		}
		require.Equal(t, uploads*pieces*50*time.Second, time.Since(start))
		require.EqualValues(t, uploads, s.Requests.Load())
	})
}

// A call that gives up while it waits for a slot was not sent.
func TestQueueIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := pipeClient(t, Config{}, rawhttp.Respond(okJSON("{}")))
		c.retry.next.slots = make(chan struct{}, 1)
		c.retry.next.slots <- struct{}{}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		_, _, err := do(ctx, c, get(Once))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NotErrorIs(t, err, ErrAmbiguous)
		require.Zero(t, failure(t, err).Attempts)
		require.Zero(t, s.Requests.Load())
		<-c.retry.next.slots
		_, _, err = do(t.Context(), c, get(Once))
		require.NoError(t, err)
		require.Empty(t, c.retry.next.slots, "a slot is given back")
	})
}

// It is cut when none moves, and repeated by its class.
func TestStalledUpload(t *testing.T) {
	for class, requests := range map[Repeat]int64{Once: 1, Repeatable: 2} {
		for name, moving := range map[string]int{"from the start": 0, "in the middle": 3} {
			t.Run(fmt.Sprintf("%d %s", class, name), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					const piece = 64 << 10
					c, s := pipeClient(t, Config{Retry: noWait(2)}, rawhttp.Slowly(moving, piece, 50*time.Second, func(net.Conn, *http.Request) bool {
						<-t.Context().Done() // reads no more
						return false
					}))
					start := time.Now()
					_, _, err := do(t.Context(), c, upload(class, sourceBody(rawhttp.Bits{}, 1<<30)))
					took := time.Since(start)
					require.ErrorIs(t, err, wire.ErrStalled)
					require.Equal(t, class == Once, errors.Is(err, ErrAmbiguous))
					require.Equal(t, requests, s.Requests.Load())
					require.Equal(t, time.Duration(requests)*(DefaultStallTimeout+time.Duration(moving)*50*time.Second), took)
				})
			})
		}
	}
}

// Once a header has come an upload is like a small call: its response has the
// same time.
func TestAnswerToAnUploadStalls(t *testing.T) {
	for name, handle := range map[string]rawhttp.Handler{
		"stalled":  stall("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"),
		"dripping": drip("HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n", " "),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, _ := pipeClient(t, Config{Retry: noWait(1)}, handle)
				start := time.Now()
				_, _, err := do(t.Context(), c, upload(Once, sourceBody(rawhttp.Bits{}, 1000)))
				require.ErrorIs(t, err, wire.ErrStalled)
				require.Equal(t, DefaultAttemptTimeout, time.Since(start))
			})
		})
	}
}

// The whole small call has a limit, even where its body moves all the time.
func TestSlowSmallCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := pipeClient(t, Config{Retry: noWait(1)}, rawhttp.Slowly(1000, 8<<10, time.Second, rawhttp.Respond(okJSON("{}"))))
		start := time.Now()
		_, _, err := do(t.Context(), c, post(Repeatable, sourceBody(rawhttp.Bits{}, 1<<20)))
		require.ErrorIs(t, err, errAttemptTimeout)
		require.Equal(t, DefaultAttemptTimeout, time.Since(start))
	})
}

var errDisk = errors.New("the disk is gone")

// brokenAt is a source that fails, or ends, at an offset.
type brokenAt struct {
	at  int64
	err error
}

func (b brokenAt) ReadAt(p []byte, off int64) (int, error) {
	n := min(int64(len(p)), max(b.at-off, 0))
	if n < int64(len(p)) {
		return int(n), b.err
	}
	return int(n), nil
}

// A source that fails is nothing the service or another attempt could help.
func TestSourceFails(t *testing.T) {
	const size = 1 << 20
	for name, tt := range map[string]struct {
		source brokenAt
		is     error
		says   string
	}{
		"at the start":            {brokenAt{0, errDisk}, errDisk, "read the request body: the disk is gone"},
		"in the middle":           {brokenAt{size / 2, errDisk}, errDisk, "read the request body: the disk is gone"},
		"at the last byte":        {brokenAt{size - 1, errDisk}, errDisk, "read the request body: the disk is gone"},
		"empty":                   {brokenAt{0, io.EOF}, io.ErrUnexpectedEOF, "read the request body: the source ended after 0 of 1048576 bytes"},
		"shorter than its size":   {brokenAt{size / 2, io.EOF}, io.ErrUnexpectedEOF, "read the request body: the source ended after 524288 of 1048576 bytes"},
		"shorter by the last one": {brokenAt{size - 1, io.EOF}, io.ErrUnexpectedEOF, "read the request body: the source ended after 1048575 of 1048576 bytes"},
	} {
		for _, class := range []Repeat{Once, Repeatable} {
			t.Run(fmt.Sprintf("%s %d", name, class), func(t *testing.T) {
				s := serveTCP(t, func(_ net.Conn, r *http.Request) bool {
					if _, err := io.Copy(io.Discard, r.Body); err == nil {
						t.Error("the service must not take it for whole")
					}
					return false
				})
				c := newClient(t, Config{BaseURL: s.URL(), Retry: noWait(3)})
				_, _, err := do(t.Context(), c, upload(class, sourceBody(tt.source, size)))
				require.ErrorIs(t, err, tt.is)
				require.ErrorContains(t, err, tt.says)
				require.NotErrorIs(t, err, ErrAmbiguous)
				require.Equal(t, 1, failure(t, err).Attempts)
			})
		}
	}
}

// A body that is longer than it says has been sent up to that length, and may
// have been carried out.
func TestSourceIsLonger(t *testing.T) {
	s := serveTCP(t, stall("")) // a response could be faster
	body := &Body{ContentType: "text/plain", Size: 5, Open: func() io.Reader { return bytes.NewReader(make([]byte, 50_000)) }}
	for range 25 { // net/http reports the length, or the connection that it closed
		c := newClient(t, Config{BaseURL: s.URL()})
		_, _, err := do(t.Context(), c, upload(Once, body))
		require.ErrorIs(t, err, ErrAmbiguous)
		require.ErrorContains(t, err, "the request body is longer than 5 bytes")
	}
}

// What a service responds in the middle of an upload is what the caller learns,
// and not the broken connection.
func TestEarlyAnswer(t *testing.T) {
	for range 25 { // it is a race
		s := serveTCP(t, rawhttp.RefuseEarly(rawhttp.Response("413 Content Too Large", "Connection: close\r\n", "too much")))
		c := newClient(t, Config{BaseURL: s.URL()})
		_, _, err := do(t.Context(), c, upload(Once, sourceBody(rawhttp.Bits{}, 1<<30)))
		e := failure(t, err)
		require.Equal(t, http.StatusRequestEntityTooLarge, e.StatusCode, "%v", err)
		require.Equal(t, "too much", e.Message)
		require.NotErrorIs(t, err, ErrAmbiguous)
		require.EqualValues(t, 1, s.Requests.Load())
	}
}

// A success that comes before the body was sent is none, also when it comes
// before the first byte was read. A fake without a connection may read nothing.
func TestEarlySuccessBeforeTheBody(t *testing.T) {
	for name, connected := range map[string]bool{"connected": true, "fake": false} {
		early := roundTrip(func(r *http.Request) (*http.Response, error) {
			if trace := httptrace.ContextClientTrace(r.Context()); connected && trace != nil && trace.GotConn != nil {
				trace.GotConn(httptrace.GotConnInfo{})
			}
			body := `{"name":"early"}`
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}, nil
		})
		c := newClient(t, Config{BaseURL: "https://host", HTTPClient: &http.Client{Transport: early}, Retry: noWait(1)})
		_, _, err := do(t.Context(), c, upload(Repeatable, sourceBody(rawhttp.Bits{}, 100)))
		if connected {
			require.ErrorContains(t, err, "the response came before the request body was sent (0 of 100 bytes)", name)
		} else {
			require.NoError(t, err, name)
		}
	}
}

// slowWrites is a connection on which a write takes a second longer than it
// takes the peer to respond.
type slowWrites struct{ net.Conn }

func (c slowWrites) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	<-time.After(time.Second)
	return n, err
}

// A success that comes before the body was sent is none, even where it comes
// before the first byte of the body was read.
func TestEarlySuccess(t *testing.T) {
	for name, taken := range map[string]int64{"before the body": 0, "in its middle": 10_000} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := emulator.NewPipeListener()
				s := serve(t, l, func(c net.Conn, r *http.Request) bool {
					_, _ = io.CopyN(io.Discard, r.Body, taken)
					_, _ = io.WriteString(c, okJSON(`{"name":"x"}`))
					return false
				})
				c := dialingClient(t, Config{Retry: noWait(2)}, func(ctx context.Context, network, addr string) (net.Conn, error) {
					conn, err := l.DialContext(ctx, network, addr)
					return slowWrites{conn}, err
				})
				_, _, err := do(t.Context(), c, upload(Once, sourceBody(rawhttp.Bits{}, 1<<20)))
				require.ErrorIs(t, err, ErrAmbiguous)
				require.ErrorContains(t, err, "before the request body was sent")
				require.EqualValues(t, 1, s.Requests.Load())
				_, _, err = do(t.Context(), c, upload(Repeatable, sourceBody(rawhttp.Bits{}, 1<<20)))
				require.ErrorIs(t, err, ErrTransient)
				require.EqualValues(t, 3, s.Requests.Load())
				<-time.After(time.Second) // the last write
			})
		})
	}
}

// So a token that ends in the middle of an upload is replaced.
func TestTokenEndsInAnUpload(t *testing.T) {
	const size = 8 << 20
	for _, class := range []Repeat{Once, Repeatable} {
		var asked atomic.Int64
		s := serveTCP(t, func(c net.Conn, r *http.Request) bool {
			if r.Header.Get("Authorization") == "Bearer token-1" {
				return rawhttp.RefuseEarly(rawhttp.Response("401 Unauthorized", "Connection: close\r\n", ""))(c, r)
			}
			n, err := io.Copy(io.Discard, r.Body)
			return err == nil && rawhttp.Respond(okJSON(fmt.Sprintf(`{"name":"%d"}`, n)))(c, r)
		})
		c := newClient(t, Config{BaseURL: s.URL(), Credentials: counted(&asked, numbered), Retry: noWait(1)})
		got, _, err := do(t.Context(), c, upload(class, sourceBody(rawhttp.Bits{}, size)))
		require.NoError(t, err)
		require.Equal(t, strconv.Itoa(size), got.Name)
		require.EqualValues(t, 2, s.Requests.Load())
	}
}

func TestEarlyAnswerOverTLS(t *testing.T) {
	c := overTLS(t, Config{Credentials: auth.Basic("user", "password")}, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.CopyN(io.Discard, r.Body, 10_000)
		conn, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		_, _ = buf.WriteString(rawhttp.Response("401 Unauthorized", "Connection: close\r\n", ""))
		_ = buf.Flush()
		_ = conn.Close()
	}, nil)
	for range 5 {
		_, _, err := do(t.Context(), c, upload(Once, sourceBody(rawhttp.Bits{}, 1<<30)))
		require.ErrorIs(t, err, ErrUnauthorized)
	}
}

// A connection that breaks without a response is a broken connection.
func TestBrokenUpload(t *testing.T) {
	s := serveTCP(t, func(_ net.Conn, r *http.Request) bool {
		_, _ = io.CopyN(io.Discard, r.Body, 10_000)
		return false
	})
	c := newClient(t, Config{BaseURL: s.URL(), Retry: noWait(3)})
	_, _, err := do(t.Context(), c, upload(Repeatable, sourceBody(rawhttp.Bits{}, 1<<30)))
	require.Equal(t, 3, failure(t, err).Attempts)
	require.EqualValues(t, 3, s.Requests.Load())
}

// closable is a source that nobody may read after it was closed.
type closable struct {
	rawhttp.Bits
	closed atomic.Bool
	late   atomic.Int64
}

func (c *closable) ReadAt(p []byte, off int64) (int, error) {
	if c.closed.Load() {
		c.late.Add(1)
	}
	return c.Bits.ReadAt(p, off)
}

// Once a call has returned its source is the caller's again, however the call
// ended and whatever net/http is still about to do.
func TestSourceIsLeftAlone(t *testing.T) {
	const size = 1 << 30
	ways := map[string]rawhttp.Handler{
		"early response, connection kept": func(c net.Conn, r *http.Request) bool {
			_, _ = io.CopyN(io.Discard, r.Body, 100_000)
			_, _ = io.WriteString(c, rawhttp.Response("400 Bad Request", "", ""))
			_, _ = io.Copy(io.Discard, c)
			return false
		},
		"early good response": func(c net.Conn, _ *http.Request) bool {
			_, _ = io.WriteString(c, okJSON("{}"))
			_, _ = io.Copy(io.Discard, c)
			return false
		},
		"early response, connection closed": rawhttp.RefuseEarly(rawhttp.Response("413 Content Too Large", "", "")),
		"connection broken":                 func(net.Conn, *http.Request) bool { return false },
		"canceled": func(_ net.Conn, r *http.Request) bool {
			_, _ = io.Copy(io.Discard, r.Body)
			return false
		},
	}
	for name, handle := range ways {
		t.Run(name, func(t *testing.T) {
			s := serveTCP(t, handle)
			c := newClient(t, Config{BaseURL: s.URL(), Retry: noWait(2)})
			sources := make([]*closable, 10)
			var wg sync.WaitGroup
			for i := range sources {
				source := &closable{}
				sources[i] = source
				wg.Go(func() {
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					body := sourceBody(source, size)
					if name == "canceled" {
						open := body.Open
						body.Open = func() io.Reader { return &cancelAt{Reader: open(), left: 300_000, cancel: cancel} }
					}
					_, _, _ = do(ctx, c, upload(Repeatable, body))
					source.closed.Store(true)
				})
			}
			wg.Wait()
			closeIdle(c)
			for _, source := range sources {
				require.Zero(t, source.late.Load())
			}
		})
	}
}

// cancelAt cancels when some bytes were read.
type cancelAt struct {
	io.Reader
	left   int
	cancel func()
}

func (c *cancelAt) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if c.left -= n; c.left < 0 {
		c.cancel()
	}
	return n, err
}

// A source that gives up because the context ended is not the reason.
func TestSourceFailsBecauseTheContextEnds(t *testing.T) {
	s := serveTCP(t, drop)
	c := newClient(t, Config{BaseURL: s.URL(), Retry: noWait(3)})
	ctx, cancel := context.WithCancelCause(t.Context())
	body := &Body{ContentType: "text/plain", Size: 10, Open: func() io.Reader { return givesUp(func() { cancel(errMaintenance) }) }}
	_, _, err := do(ctx, c, upload(Once, body))
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, err, errMaintenance)
	require.NotErrorIs(t, err, ErrAmbiguous)
	require.Equal(t, 1, failure(t, err).Attempts)
}

// givesUp does something and fails.
type givesUp func()

func (g givesUp) Read([]byte) (int, error) {
	g()
	return 0, errDisk
}
