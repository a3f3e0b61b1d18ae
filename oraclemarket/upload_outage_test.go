package oraclemarket_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

// An outage in the middle of uploads ends none of them, however many there are
// on one client: one chunk asks for all.
func TestUploadsThroughAnOutage(t *testing.T) {
	t.Parallel()
	for _, uploads := range []int{1, 16} {
		for _, lasts := range []time.Duration{4 * time.Second, time.Minute, 4 * time.Minute} {
			for _, status := range []int{502, 522, 0} {
				t.Run(fmt.Sprintf("%d uploads, %s, status %d", uploads, lasts, status), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) {
						r := inMemory(t, nil, nil)
						// Each chunk takes a while, so that the outage meets some of each upload.
						r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpUploadChunk, Times: -1, Delay: time.Second})
						data := randomBytes(20*testChunk - 1)
						var end func()
						var before, during, after atomic.Int64
						time.AfterFunc(3500*time.Millisecond, func() {
							before.Store(int64(len(r.Requests())))
							end = r.StartOutage(oraclemarkettest.Outage{Status: status})
							time.AfterFunc(lasts, func() {
								during.Store(int64(len(r.Requests())))
								end()
								time.AfterFunc(time.Second, func() { after.Store(int64(len(r.Requests()))) })
							})
						})
						var wg sync.WaitGroup
						for i := range uploads {
							wg.Go(func() {
								req := imageOf(data, &memStore{})
								req.FileName = fmt.Sprintf("image-%d.tar.gz", i)
								_, err := r.images.Upload(t.Context(), req)
								require.NoError(t, err)
							})
						}
						wg.Wait()
						require.Equal(t, uploads, r.Count(oraclemarkettest.OpInitiate))
						require.NotZero(t, during.Load())
						if status != 0 { // else nothing arrives; those in flight fail first
							require.LessOrEqual(t, int(during.Load()-before.Load()), 2*64+int(lasts/(15*time.Second)))
						}
						require.LessOrEqual(t, after.Load()-during.Load(), int64(4), "in the first second after the outage")
						t.Logf("%d requests in the outage, %d in the first second after it", during.Load()-before.Load(), after.Load()-during.Load())
					})
				})
			}
		}
	}
}
