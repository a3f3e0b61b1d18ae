package wire

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/internal/rawhttp"
)

// canceledAfter returns when a guard with the limit of a minute cancels, while
// moves runs beside it. It never waits longer than a day.
func canceledAfter(t *testing.T, moves func(g *StallGuard)) time.Duration {
	t.Helper()
	var took time.Duration
	synctest.Test(t, func(t *testing.T) {
		start, canceled := time.Now(), make(chan error, 1)
		g := NewStallGuard(testLimit, func(cause error) { canceled <- cause })
		defer g.Stop()
		go moves(g)
		select {
		case cause := <-canceled:
			require.Equal(t, ErrStalled, cause)
			took = time.Since(start)
		case <-time.After(24 * time.Hour):
			t.Error("it is never canceled")
		}
	})
	return took
}

// sends gives the guard a queue that changes with time, from now on.
func (g *StallGuard) sends(known bool, at func(time.Duration) int) {
	start := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.conn = &halfDead{}
	g.queue = func(net.Conn) (int, bool) { return at(time.Since(start)), known }
}

func TestStallGuard(t *testing.T) {
	const check = testLimit / 4 // the first check of a queue counts as a movement
	for name, tt := range map[string]struct {
		moves func(g *StallGuard)
		after time.Duration
	}{
		"nothing moves": {func(*StallGuard) {}, time.Minute},
		"the source is read": {func(g *StallGuard) {
			for range 10 {
				<-time.After(59 * time.Second)
				g.bodyRead(false)
			}
		}, 590*time.Second + time.Minute},
		"nothing is known of the queue": {func(g *StallGuard) {
			g.sends(false, func(d time.Duration) int { return int(d) })
		}, time.Minute},
		"the queue does not change": {func(g *StallGuard) {
			g.sends(true, func(time.Duration) int { return 4 << 20 })
		}, check + time.Minute},
		"the queue shrinks for ten minutes": {func(g *StallGuard) {
			g.sends(true, func(d time.Duration) int { return max(0, 600-int(d.Seconds())) })
		}, 10*time.Minute + time.Minute},
		"and grows again": {func(g *StallGuard) {
			g.sends(true, func(d time.Duration) int { return int(min(d, 5*time.Minute).Seconds()) % 100 })
		}, 5*time.Minute + time.Minute},
		"little by little": {func(g *StallGuard) {
			g.sends(true, func(d time.Duration) int { return -int(min(d, 10*time.Minute) / (50 * time.Second)) })
		}, 10*time.Minute + time.Minute},
		"buffers on the way": {func(g *StallGuard) {
			for i := range 20 {
				<-time.After(50 * time.Second)
				g.bodyRead(i == 19)
			}
		}, 2 * 1000 * time.Second},
		"a short body": {func(g *StallGuard) {
			<-time.After(time.Second)
			g.bodyRead(true)
		}, time.Second + time.Minute},
		"the response has started": {func(g *StallGuard) {
			<-time.After(50 * time.Second)
			g.sends(true, func(d time.Duration) int { return int(d) })
			g.bodyRead(true)
			g.ResponseStarted(30 * time.Second)
		}, 80 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			took := canceledAfter(t, tt.moves)
			require.GreaterOrEqual(t, took, tt.after)
			require.LessOrEqual(t, took, tt.after+check)
		})
	}
}

// A stopped guard cancels nothing, whatever comes later.
func TestStallGuardStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewStallGuard(time.Minute, func(error) { t.Error("canceled") })
		g.Stop()
		g.bodyRead(true)
		g.ResponseStarted(time.Second)
		g.check()
		<-time.After(time.Hour)
	})
}

// An upload may take as long as it likes while bytes move, and bytes that took
// long to send may stay in buffers on the way for as long.
func TestSlowUpload(t *testing.T) {
	for _, buffered := range []time.Duration{0, 900 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			const piece, pieces = 64 << 10, 20
			a, s := servePipe(t, nil, rawhttp.Slowly(pieces, piece, 50*time.Second, func(c net.Conn, r *http.Request) bool {
				<-time.After(buffered)
				return rawhttp.Respond(ok(""))(c, r)
			}))
			start := time.Now()
			_, _, err := a.send(t.Context(), first(pieces*piece, rawhttp.Bits{}), pieces*piece)
			require.NoError(t, err)
			require.Equal(t, pieces*50*time.Second+buffered, time.Since(start))
			require.EqualValues(t, 1, s.Requests.Load())
		})
	}
}

// An upload is canceled when no byte moves.
func TestStalledUpload(t *testing.T) {
	for _, moving := range []int{0, 3} {
		t.Run(fmt.Sprintf("after %d pieces", moving), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, s := servePipe(t, nil, rawhttp.Slowly(moving, 64<<10, 50*time.Second, func(net.Conn, *http.Request) bool {
					<-t.Context().Done() // reads no more
					return false
				}))
				start := time.Now()
				_, _, err := a.send(t.Context(), first(1<<30, rawhttp.Bits{}), 1<<30)
				require.ErrorIs(t, err, ErrStalled)
				require.EqualValues(t, 1, s.Requests.Load())
				require.Equal(t, testLimit+time.Duration(moving)*50*time.Second, time.Since(start))
			})
		})
	}
}

// The rest of a response has one limit, whether bytes of it move or not.
func TestResponseStalls(t *testing.T) {
	for name, pause := range map[string]time.Duration{"stalled": time.Hour, "dripping": time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, _ := servePipe(t, nil, func(c net.Conn, r *http.Request) bool {
					rawhttp.Respond("HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n")(c, r)
					for {
						<-time.After(pause)
						if _, err := io.WriteString(c, " "); err != nil {
							return false
						}
					}
				})
				start := time.Now()
				_, _, err := a.send(t.Context(), first(1000, rawhttp.Bits{}), 1000)
				require.ErrorIs(t, err, ErrStalled)
				require.Equal(t, testLimit/2, time.Since(start))
			})
		})
	}
}
