package conformance

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/internal/emulator"
	"github.com/imagejobs/imagejobs-go/multiplay"
	"github.com/imagejobs/imagejobs-go/oraclemarket"
)

const goroutines = 500

// tokens yields token after token, each of a short life. The first one takes
// its time.
type tokens struct {
	life    time.Duration
	issued  atomic.Int64
	waiting atomic.Int64
	most    atomic.Int64
}

func (s *tokens) token(ctx context.Context) (string, time.Time, error) {
	s.most.Store(max(s.most.Load(), s.waiting.Add(1)))
	defer s.waiting.Add(-1)
	takes := 10 * time.Millisecond
	if s.issued.Load() == 0 {
		takes = time.Second
	}
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		return "", time.Time{}, ctx.Err()
	}
	return fmt.Sprintf("%s-%d", mark, s.issued.Add(1)), time.Now().Add(s.life), nil
}

// Five hundred goroutines share one client of each kind while its tokens end
// and are revoked, and a third of their calls is cancelled on the way. Every
// other call succeeds, and there are as many logins as tokens that ended.
func TestManyGoroutinesShareAClient(t *testing.T) {
	const life, rounds = 20 * time.Second, 4
	for name, polls := range map[string]struct {
		target string
		client func(t *testing.T, e *env) func(context.Context) error
	}{
		"oraclemarket": {"MachineImages.Get", func(t *testing.T, e *env) func(context.Context) error {
			t.Helper()
			c, err := e.oracleClient(e.oracle)
			require.NoError(t, err)
			return func(ctx context.Context) error {
				_, err := c.MachineImages.Get(ctx, 7)
				return err
			}
		}},
		"imagereplicator": {"Jobs.Get", func(t *testing.T, e *env) func(context.Context) error {
			t.Helper()
			c, err := e.replicatorClient()
			require.NoError(t, err)
			return func(ctx context.Context) error {
				_, err := c.Jobs.Get(ctx, "job")
				return err
			}
		}},
		"multiplay": {"ImageUpdates.Status", func(t *testing.T, e *env) func(context.Context) error {
			t.Helper()
			c, err := e.multiplayClient()
			require.NoError(t, err)
			return func(ctx context.Context) error {
				_, err := c.ImageUpdates.Status(ctx, 7)
				return err
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, _, e := inMemory(t)
				source := &tokens{life: life}
				e.oracle = oraclemarket.TokenSourceFunc(func(ctx context.Context) (oraclemarket.Token, error) {
					value, expiry, err := source.token(ctx)
					return oraclemarket.NewToken(value, expiry), err
				})
				e.jobs = imagereplicator.TokenSourceFunc(func(ctx context.Context) (imagereplicator.Token, error) {
					value, expiry, err := source.token(ctx)
					return imagereplicator.NewToken(value, expiry), err
				})
				e.game = multiplay.TokenSourceFunc(func(ctx context.Context) (multiplay.Token, error) {
					value, expiry, err := source.token(ctx)
					return multiplay.NewToken(value, expiry), err
				})
				// The first token is revoked while most calls are under way with
				// it, so that they are refused, one after another, and long after
				// there is a new one.
				began := time.Now()
				s.Inject(emulator.Fault{Times: -1, Status: http.StatusUnauthorized, Delay: 50 * time.Millisecond, Match: func(r *http.Request) bool {
					return time.Since(began) > 1050*time.Millisecond && strings.HasSuffix(r.Header.Get("Authorization")+r.Header.Get("X-Auth-Token"), mark+"-1")
				}})
				s.Inject(emulator.Fault{Times: -1, Delay: 100 * time.Millisecond})

				call := polls.client(t, e)
				var wg sync.WaitGroup
				var succeeded, cancelled atomic.Int64
				for i := range goroutines {
					wg.Go(func() {
						for round := range rounds {
							ctx, cancel := context.WithCancel(t.Context())
							mayEnd := i%3 == 0
							ends := rand.N(1500 * time.Millisecond)
							if mayEnd {
								time.AfterFunc(ends, cancel)
							}
							start := time.Now()
							err := call(ctx)
							cancel()
							switch {
							case err == nil:
								succeeded.Add(1)
							case mayEnd && errors.Is(err, context.Canceled) && time.Since(start) == ends: // at once
								cancelled.Add(1)
							default:
								t.Errorf("round %d: %v", round, err)
							}
							<-time.After(rand.N(10 * time.Second))
						}
					})
				}
				wg.Wait()
				took := time.Since(began)
				const uncancelled = goroutines - (goroutines+2)/3
				require.GreaterOrEqual(t, succeeded.Load(), int64(uncancelled*rounds))
				require.Positive(t, cancelled.Load())
				require.EqualValues(t, goroutines*rounds, succeeded.Load()+cancelled.Load())
				require.GreaterOrEqual(t, s.Count(polls.target), int(succeeded.Load()))
				require.Equal(t, int64(1), source.most.Load(), "logins at the same time")
				refused := 0
				for _, r := range s.Requests() {
					if r.Status == http.StatusUnauthorized {
						refused++
					}
				}
				require.GreaterOrEqual(t, refused, 50, "about as many as are under way at once")
				// The first, the one for all that were refused, and one for each that
				// ended.
				require.LessOrEqual(t, source.issued.Load(), 2+int64(took/(life-life/10)), "in %s", took)
			})
		})
	}
}

// sequence is something to iterate over.
type sequence struct {
	name, target string
	body         string // of a response after which it continues
	client       func(e *env) (iter.Seq[error], error)
}

func states[T any](seq iter.Seq2[T, error]) iter.Seq[error] {
	return func(yield func(error) bool) {
		for _, err := range seq {
			if !yield(err) {
				return
			}
		}
	}
}

// sequences returns all iterators of the clients.
func sequences(ctx context.Context) []sequence {
	oracleSeq := func(of func(c oc) iter.Seq[error]) func(*env) (iter.Seq[error], error) {
		return func(e *env) (iter.Seq[error], error) {
			c, err := e.oracleClient(nil)
			return of(c), err
		}
	}
	gameSeq := func(of func(c mc) iter.Seq[error]) func(*env) (iter.Seq[error], error) {
		return func(e *env) (iter.Seq[error], error) {
			c, err := e.multiplayClient()
			return of(c), err
		}
	}
	more := `{"items":[` + uploadRecord + `,` + uploadRecord + `],"hasMore":true}`
	running := strings.NewReplacer("Completed", "Running", `"jobstateid":5`, `"jobstateid":4`)
	return []sequence{
		{"oraclemarket.MachineImages.Watch", "MachineImages.Get", strings.ReplaceAll(uploadRecord, "Completed", "Pending"), oracleSeq(func(c oc) iter.Seq[error] { return states(c.MachineImages.Watch(ctx, 7)) })},
		{"oraclemarket.MachineImages.WatchAll", "MachineImages.List", `{"items":[` + strings.ReplaceAll(uploadRecord, "Completed", "Pending") + `],"hasMore":false}`, oracleSeq(func(c oc) iter.Seq[error] { return states(c.MachineImages.WatchAll(ctx, []int64{7})) })},
		{"oraclemarket.MachineImages.All", "MachineImages.List", more, oracleSeq(func(c oc) iter.Seq[error] { return states(c.MachineImages.All(ctx, nil)) })},
		{"oraclemarket.StorageImages.All", "StorageImages.List", more, oracleSeq(func(c oc) iter.Seq[error] { return states(c.StorageImages.All(ctx, nil)) })},
		{"imagereplicator.Jobs.Watch", "Jobs.Get", strings.ReplaceAll(tower, "replicated", "replicating"), func(e *env) (iter.Seq[error], error) {
			c, err := e.replicatorClient()
			return states(c.Jobs.Watch(ctx, "job")), err
		}},
		{"imagereplicator.Jobs.WatchAll", "Jobs.List", "[" + strings.ReplaceAll(tower, "replicated", "replicating") + "]", func(e *env) (iter.Seq[error], error) {
			c, err := e.replicatorClient()
			return states(c.Jobs.WatchAll(ctx, []string{"job"})), err
		}},
		{"multiplay.ImageUpdates.Watch", "ImageUpdates.Status", running.Replace(good("ImageUpdates.Status")), gameSeq(func(c mc) iter.Seq[error] { return states(c.ImageUpdates.Watch(ctx, 7)) })},
		{"multiplay.ImageDiffs.Watch", "ImageDiffs.Status", running.Replace(good("ImageDiffs.Status")), gameSeq(func(c mc) iter.Seq[error] { return states(c.ImageDiffs.Watch(ctx, 7)) })},
		{"multiplay.ImageVersions.Watch", "ImageVersions.Status", running.Replace(good("ImageVersions.Status")), gameSeq(func(c mc) iter.Seq[error] { return states(c.ImageVersions.Watch(ctx, 7)) })},
		{"multiplay.Images.WatchRollout", "Images.RolloutStatus", `{"success":true,"pending_machines":5,"completed_machines":0}`, gameSeq(func(c mc) iter.Seq[error] { return states(c.Images.WatchRollout(ctx, 1, 9)) })},
	}
}

// An iteration that is left half done leaves nothing behind: no request
// follows, and the bubble, which would not end otherwise, has no goroutine
// left.
func TestAbandonedIterations(t *testing.T) {
	var named []string
	for _, s := range sequences(t.Context()) {
		named = append(named, s.name)
	}
	for _, o := range operations() {
		of := o.name[strings.LastIndexByte(o.name, '.')+1:]
		if strings.HasPrefix(of, "Watch") || of == "All" {
			require.Contains(t, named, o.pkg+"."+o.name)
		}
	}
	for i, name := range named {
		for how, leave := range map[string]func(*testing.T, iter.Seq[error], context.CancelFunc){
			"break": func(t *testing.T, seq iter.Seq[error], _ context.CancelFunc) {
				t.Helper()
				for err := range seq {
					require.NoError(t, err)
					break
				}
			},
			"stop of a pull": func(t *testing.T, seq iter.Seq[error], _ context.CancelFunc) {
				t.Helper()
				next, stop := iter.Pull(seq)
				err, ok := next()
				require.True(t, ok)
				require.NoError(t, err)
				stop()
			},
			"end of the context": func(t *testing.T, seq iter.Seq[error], cancel context.CancelFunc) {
				t.Helper()
				all := slices.Collect(func(yield func(error) bool) {
					for err := range seq {
						cancel()
						if !yield(err) {
							return
						}
					}
				})
				require.NoError(t, all[0])
				require.ErrorIs(t, all[len(all)-1], context.Canceled)
			},
		} {
			t.Run(name+"/"+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					s, _, e := inMemory(t)
					one := sequences(ctx)[i]
					s.Inject(emulator.Fault{Operation: one.target, Times: -1, Body: one.body, ContentType: "application/json"})
					seq, err := one.client(e)
					require.NoError(t, err)
					start := time.Now()
					leave(t, seq, cancel)
					require.Zero(t, time.Since(start), "at once")
					before := len(s.Requests())
					require.Positive(t, before)
					<-time.After(time.Hour)
					require.Len(t, s.Requests(), before)
					require.Equal(t, 1, s.Count(one.target))
				})
			})
		}
	}
}
