//go:build linux

package proxies

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/imagereplicator/imagereplicatortest"
	"github.com/imagejobs/imagejobs-go/multiplay"
	"github.com/imagejobs/imagejobs-go/multiplay/multiplaytest"
	"github.com/imagejobs/imagejobs-go/oraclemarket"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

// An upload above a rate whose window counts refused requests as well is held
// as long as the proxy asks to wait, and until that many have left the window.
// Then it adapts so slowly that it is not held again.
func TestHAProxyRateLimit(t *testing.T) {
	t.Parallel()
	for _, concurrency := range []int{1, 4} {
		t.Run(strconv.Itoa(concurrency)+" at once", func(t *testing.T) {
			t.Parallel()
			s := newServices(t)
			p := start(t, "haproxy", "haproxy.ratelimit.conf", s.urls()...)
			image := newImage(chunksPaced * 32 << 10)
			upload := image.upload(32 << 10)
			upload.Concurrency = concurrency
			_, err := s.behind(p).oracle.MachineImages.Upload(within(t, 2*time.Minute), upload)
			require.NoError(t, err)
			s.uploaded(t, image)

			var n paced
			for _, f := range p.log() {
				f = f[len(f)-7:] // after what the log's format puts in front
				seconds, err := strconv.ParseFloat(f[0], 64)
				require.NoError(t, err)
				idle, err := strconv.Atoi(f[1]) // the time above is that of the end of the request before
				require.NoError(t, err)
				size, err := strconv.ParseInt(f[3], 10, 64)
				require.NoError(t, err)
				n.add(time.UnixMilli(int64(seconds*1000)+int64(idle)), f[6], size, f[2] == "429")
			}
			// The window lets ten through at once, but none of the next ten before it
			// has ended, and then one each 0.2 s.
			require.Greater(t, n.log(t, 5, 1), 0.85)
			require.Less(t, n.inVain(), 0.05)
		})
	}
}

// pausing is an image whose second reading, which sends it, pauses at a byte.
type pausing struct {
	image

	at      int64
	reads   atomic.Int32
	reached chan struct{}
	goOn    chan struct{}
}

func (r *pausing) ReadAt(p []byte, off int64) (int, error) {
	if off <= r.at && r.at < off+int64(len(p)) && r.reads.Add(1) == 2 {
		close(r.reached)
		<-r.goOn
	}
	return strings.NewReader(string(r.image)).ReadAt(p, off)
}

// A reload closes the connection in the middle of a chunk, which then goes the
// other way.
func TestHAProxyReloadInUpload(t *testing.T) {
	t.Parallel()
	s := newServices(t)
	p := start(t, "haproxy", "haproxy.plain.conf", s.urls()...)
	source := &pausing{image: newImage(4 << 20), at: 2<<20 + 600<<10, reached: make(chan struct{}), goOn: make(chan struct{})}
	go func() {
		<-source.reached
		<-p.reload().ended
		close(source.goOn)
	}()
	req := source.upload(1 << 20)
	req.File = source
	_, err := s.behind(p).oracle.MachineImages.Upload(within(t, 2*time.Minute), req)
	require.NoError(t, err)
	s.uploaded(t, source.image)
	require.Equal(t, 5, s.oracle.Count(oraclemarkettest.OpUploadChunk))
	require.Equal(t, 4, s.oracle.Processed(oraclemarkettest.OpUploadChunk))
}

// once are the calls that must not be carried out twice, by the service.
func once(c clients) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"oraclemarket": func(ctx context.Context) error {
			_, err := c.oracle.MachineImages.Initiate(ctx, &oraclemarket.InitiateUploadRequest{
				Application: "app", Version: "1.0", OperatingSystem: "Linux", FileName: "image.tar.gz", NumberOfChunks: 1,
			})
			return err
		},
		"imagereplicator": func(ctx context.Context) error {
			_, err := c.ntt.Jobs.Create(ctx, &imagereplicator.CreateJobRequest{
				ImageID: imagereplicatortest.ImageID, DestinationTenantID: imagereplicatortest.DestinationTenantID,
			})
			return err
		},
		"multiplay": func(ctx context.Context) error {
			_, err := c.multi.ImageUpdates.Create(ctx, &multiplay.CreateImageUpdateRequest{
				ImageID: multiplaytest.ImageID, MachineID: multiplaytest.MachineID, Description: "nightly", Source: files(),
			})
			return err
		},
	}
}

// distant returns clients whose requests reach the proxy, and its responses
// them, after 25 ms.
func (s *services) distant(h *http.Client, p *proxy) clients {
	p.t.Helper()
	var far []string
	for i := range p.Sites {
		far = append(far, "http://"+newLine(p.t, p.Sites[i].Listen, 25*time.Millisecond))
	}
	return s.clients(h, far...)
}

// creates counts calls that must not happen twice, and how many end ambiguous.
type creates struct {
	sync.WaitGroup

	made, ambiguous atomic.Int32
	errs            sync.Map // by their texts
}

// start sends each of the calls, again while more returns true.
func (n *creates) start(ctx context.Context, c clients, more func() bool) {
	for _, call := range once(c) {
		n.Go(func() {
			for ok := true; ok; ok = more() {
				n.made.Add(1)
				err := call(ctx)
				if errors.Is(err, oraclemarket.ErrAmbiguous) {
					n.ambiguous.Add(1)
				}
				if err != nil {
					n.errs.Store(err.Error(), true)
				}
			}
		})
	}
}

// check requires that each was carried out.
func (n *creates) check(t *testing.T, s *services) {
	t.Helper()
	n.errs.Range(func(text, _ any) bool {
		t.Error(text)
		return true
	})
	t.Logf("%d of %d creates ambiguous", n.ambiguous.Load(), n.made.Load())
	require.Zero(t, n.ambiguous.Load())
	require.EqualValues(t, n.made.Load(), s.processed())
}

// processed returns how many creates took effect.
func (s *services) processed() int {
	return s.oracle.Processed(oraclemarkettest.OpInitiate) + s.ntt.Processed(imagereplicatortest.OpCreate) +
		s.multi.Processed(multiplaytest.OpUpdateCreate)
}

// given are the HTTP clients that a client may be given.
func given(t *testing.T) map[string]*http.Client {
	t.Helper()
	return map[string]*http.Client{"default": nil, "caller's": newHTTP(t, nil)}
}

// A reload, which closes idle connections, leaves no create ambiguous.
func TestHAProxyReloadAmongCreates(t *testing.T) {
	t.Parallel()
	const reloads, callers = 3, 4
	for name, h := range given(t) {
		t.Run(name, func(t *testing.T) {
			s := newServices(t, multiplaytest.WithJobTime(0)) // a running update locks its image
			p := start(t, "haproxy", "haproxy.plain.conf", s.urls()...)
			c, ctx := s.distant(h, p), within(t, 2*time.Minute)
			var n creates
			var reloaded atomic.Bool
			for range callers {
				n.start(ctx, c, func() bool { return !reloaded.Load() })
			}
			for i := range reloads {
				enough := func() bool { return s.processed() >= 12*callers*(i+1) }
				require.Eventually(t, enough, patience, 5*time.Millisecond)
				<-p.reload().ended
			}
			reloaded.Store(true)
			n.Wait()
			n.check(t, s)
		})
	}
}

// The proxy closes a connection after five seconds, and 25 ms pass before the
// client hears of it: a create that goes out on it meanwhile gets no response.
func TestHAProxyKeepAlive(t *testing.T) {
	t.Parallel()
	const callers, keepAlive = 10, 5 * time.Second // the latter in the configuration
	for name, h := range given(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServices(t, multiplaytest.WithJobTime(0)) // a running update locks its image
			p := start(t, "haproxy", "haproxy.plain.conf", s.urls()...)
			c, ctx := s.distant(h, p), within(t, 2*time.Minute)
			var n creates
			for i := range callers {
				// From before the end to after it, in steps of 10 ms.
				pause := keepAlive - 70*time.Millisecond + time.Duration(i)*10*time.Millisecond
				end := time.Now().Add(2*pause + pause/2)
				n.start(ctx, c, func() bool {
					if time.Until(end) < pause {
						return false
					}
					<-time.After(pause)
					return true
				})
			}
			n.Wait()
			n.check(t, s)
		})
	}
}
