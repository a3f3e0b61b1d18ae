//go:build linux

package proxies

import (
	"context"
	"errors"
	"fmt"
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
// for as long as the proxy asks to wait.
func TestHAProxyRateLimit(t *testing.T) {
	t.Parallel()
	const chunks = 40
	s := newServices(t)
	p := start(t, "haproxy", "haproxy.ratelimit.conf", s.urls()...)
	image := newImage(chunks * 32 << 10)
	began := time.Now()
	_, err := s.behind(p).oracle.MachineImages.Upload(within(t, time.Minute), image.upload(32<<10))
	require.NoError(t, err)
	s.uploaded(t, image)

	var refused int
	var all, wasted int64
	for _, f := range p.log() {
		if !strings.HasSuffix(f[len(f)-1], "/chunk") {
			continue
		}
		size, err := strconv.ParseInt(f[len(f)-4], 10, 64)
		require.NoError(t, err)
		all += size
		if f[len(f)-5] == "429" {
			refused++
			wasted += size
		}
	}
	t.Logf("%d chunks in %s, %d chunk requests refused, %.1f %% of the bytes in vain",
		chunks, time.Since(began).Round(time.Millisecond), refused, 100*float64(wasted)/float64(all))
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
	_, err := s.behind(p).oracle.MachineImages.Upload(within(t, time.Minute), req)
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

// creates returns how many creates took effect.
func (s *services) creates() int {
	return s.oracle.Processed(oraclemarkettest.OpInitiate) + s.ntt.Processed(imagereplicatortest.OpCreate) +
		s.multi.Processed(multiplaytest.OpUpdateCreate)
}

// Reloads between creates leave none of them ambiguous.
func TestHAProxyReloadBetweenCreates(t *testing.T) {
	t.Parallel()
	const reloads = 3
	s := newServices(t)
	p := start(t, "haproxy", "haproxy.plain.conf", s.urls()...)
	calls := once(s.behind(p))
	ctx := within(t, time.Minute)
	made := 0
	for range reloads {
		old := p.reload()
		for ended := false; !ended; {
			for name, call := range calls {
				require.NoError(t, call(ctx), name)
				made++
			}
			select {
			case <-old.ended:
				ended = true
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
	t.Logf("%d creates during %d reloads", made, reloads)
	require.Equal(t, made, s.creates())
}

// The far end closes a connection after five seconds, and 25 ms pass before this
// end hears of it: a create that goes out on it meanwhile would be ambiguous.
func TestHAProxyKeepAlive(t *testing.T) {
	t.Parallel()
	const perService, times, keepAlive = 10, 3, 5 * time.Second
	s := newServices(t)
	p := start(t, "haproxy", "haproxy.plain.conf", s.urls()...)
	var far []string
	for i := range p.Sites {
		far = append(far, "http://"+newLine(t, p.Sites[i].Listen, 25*time.Millisecond))
	}
	ctx := within(t, time.Minute)

	// What a caller's own transport keeps, the client keeps as well.
	var ambiguous, ambiguousKept atomic.Int32
	var others []string
	var mu sync.Mutex
	var work sync.WaitGroup
	create := func(h *http.Client, count *atomic.Int32) {
		for i := range perService {
			pause := keepAlive - 70*time.Millisecond + time.Duration(i)*10*time.Millisecond
			for _, call := range once(s.clients(h, far...)) {
				work.Go(func() {
					for range times {
						err := call(ctx)
						if errors.Is(err, oraclemarket.ErrAmbiguous) {
							count.Add(1)
						} else if err != nil {
							mu.Lock()
							others = append(others, err.Error())
							mu.Unlock()
						}
						select {
						case <-time.After(pause):
						case <-ctx.Done():
						}
					}
				})
			}
		}
	}
	create(nil, &ambiguous)
	work.Wait()
	require.Empty(t, others)
	t.Log(fmt.Sprint("ambiguous: ", ambiguous.Load(), " of ", 3*perService*times, ", ", ambiguousKept.Load()))
	require.Zero(t, ambiguous.Load())
	require.Equal(t, 3*perService*times, s.creates())
}
