package conformance

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/oraclemarket"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

// logIns returns when the server was asked for a token in the outage.
func logIns(r *outageRig, s *oraclemarkettest.Server) (during []time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, q := range s.Requests() {
		if q.Operation == oraclemarkettest.OpOAMToken && !q.Time.Before(r.began) && (r.ended.IsZero() || q.Time.Before(r.ended)) {
			during = append(during, q.Time)
		}
	}
	return during
}

// However many chunks and waits need a token that nobody issues, they ask for it
// about as often as one does, and once where the credentials are refused.
func TestLogInsInOutages(t *testing.T) {
	for name, run := range map[string]func(context.Context, *outageRig, *oraclemarkettest.Server, *oraclemarket.Client) error{
		"1 chunk at once":   uploadThrough(4, 1),
		"64 chunks at once": uploadThrough(192, 64),
		"200 waits":         waitThrough(200),
	} {
		for status, most := range map[int]int{http.StatusBadGateway: 40, http.StatusUnauthorized: 1, http.StatusBadRequest: 1} {
			t.Run(name+", "+http.StatusText(status), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					r := newOutageRig(t, away{status: status}, 4*time.Minute, true)
					s, c := r.oracle(longJob)
					err := run(r.ctx(), r, s, c)
					asked := logIns(r, s)
					t.Logf("%d log-ins: %v", len(asked), err)
					require.NotEmpty(t, asked)
					require.Equal(t, status == http.StatusBadGateway, err == nil, "%v", err)
					if name == "200 waits" && status == http.StatusBadGateway {
						most = 2 * 4 * 60 // twice a second
					}
					require.LessOrEqual(t, len(asked), most)
				})
			})
		}
	}
}

// A call by itself asks for a token as often as it would be repeated.
func TestLogInsOfOneCall(t *testing.T) {
	for status, most := range map[int]int{http.StatusBadGateway: 5, http.StatusUnauthorized: 1} {
		synctest.Test(t, func(t *testing.T) {
			r := newOutageRig(t, away{status: status}, time.Hour, true)
			s, c := r.oracle(0)
			r.begin()
			_, err := c.MachineImages.Get(r.ctx(), 1)
			require.ErrorContains(t, err, "getting a token failed")
			require.Len(t, logIns(r, s), most)
			require.Less(t, time.Since(r.began), 2*time.Minute)
		})
	}
}

func uploadThrough(chunks, atOnce int) func(context.Context, *outageRig, *oraclemarkettest.Server, *oraclemarket.Client) error {
	return func(ctx context.Context, r *outageRig, s *oraclemarkettest.Server, c *oraclemarket.Client) error {
		slowChunks(s)
		time.AfterFunc(1500*time.Millisecond, func() {
			s.ExpireTokens()
			r.begin()
		})
		_, err := c.MachineImages.Upload(ctx, outageImage("image.tar.gz", chunks, atOnce))
		return err
	}
}

func waitThrough(waits int) func(context.Context, *outageRig, *oraclemarkettest.Server, *oraclemarket.Client) error {
	return func(ctx context.Context, r *outageRig, s *oraclemarkettest.Server, c *oraclemarket.Client) error {
		id, err := createImage(ctx, c, 0)
		if err != nil {
			return err
		}
		time.AfterFunc(beforeOutage, func() {
			s.ExpireTokens()
			r.begin()
		})
		errs := make(chan error, waits)
		for range waits {
			go func() {
				_, err := c.MachineImages.Wait(ctx, id)
				errs <- err
			}()
		}
		for range waits {
			if failed := <-errs; failed != nil {
				err = failed
			}
		}
		return err
	}
}
