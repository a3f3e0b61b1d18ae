package oraclemarket_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/oraclemarket"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

// The response to the first request of an upload never comes, in all the ways in
// which the service may have got it.
func TestUploadLostInitiate(t *testing.T) {
	t.Parallel()
	for name, fault := range uploadFaults {
		if !lostOnProcessing(&fault) {
			continue
		}
		for server, skew := range map[string]time.Duration{"": 0, ", fast clock": 7 * time.Hour, ", slow clock": -7 * time.Hour} {
			t.Run(name+server, func(t *testing.T) {
				t.Parallel()
				now := func() time.Time { return time.Now().Add(skew) }
				synctest.Test(t, func(t *testing.T) {
					r := inMemory(t, serverOptions{oraclemarkettest.WithClock(now)}, nil)
					lost := fault
					lost.Operation = oraclemarkettest.OpInitiate
					r.Inject(lost)
					// As the emulator's responses have the date of the real clock:
					r.Inject(oraclemarkettest.Fault{
						Operation: oraclemarkettest.OpList, Times: -1,
						Header: http.Header{"Date": {now().UTC().Format(http.TimeFormat)}},
					})
					data := randomBytes(3 * testChunk)
					store := &memStore{}
					req := imageOf(data, store)
					req.FileName = "образ 1.img" // the service has it percent-encoded in a header
					_, err := r.images.Upload(t.Context(), req)
					require.NoError(t, err)
					requireImage(t, r.only(t), data)
					require.Equal(t, 1, r.Count(oraclemarkettest.OpInitiate))
					require.Equal(t, 4, r.Count(oraclemarkettest.OpList), "until nothing else can show that it is not ours")
					store.empty(t)
				})
			})
		}
	}
}

// other makes an upload request that is not ours.
func (r *uploadRig) other(t *testing.T, chunks int, change func(*oraclemarket.InitiateUploadRequest)) int64 {
	t.Helper()
	req := &oraclemarket.InitiateUploadRequest{
		Application: "wordpress", Version: "OL67", OperatingSystem: "Linux", FileName: "wordpress.tar.gz", NumberOfChunks: chunks,
	}
	change(req)
	ack, err := r.images.Initiate(t.Context(), req)
	require.NoError(t, err)
	return ack.EntityID
}

func TestUploadLostInitiateDecoys(t *testing.T) {
	t.Parallel()
	same := func(*oraclemarket.InitiateUploadRequest) {}
	synctest.Test(t, func(t *testing.T) {
		r := inMemory(t, nil, nil)
		// Older than ours, with nothing in it.
		r.other(t, 3, same)
		<-time.After(time.Hour)
		// Like ours, but for something.
		r.other(t, 3, func(i *oraclemarket.InitiateUploadRequest) { i.Application = "WordPress" })
		r.other(t, 3, func(i *oraclemarket.InitiateUploadRequest) { i.Version = "OL68" })
		r.other(t, 3, func(i *oraclemarket.InitiateUploadRequest) { i.OperatingSystem = "linux" })
		r.other(t, 3, func(i *oraclemarket.InitiateUploadRequest) { i.FileName = "wordpress.tar" })
		r.other(t, 4, same)
		for _, chunks := range []int{3, 4} { // with 2 pending, and with 3 as ours has
			_, err := r.images.UploadChunk(t.Context(), r.other(t, chunks, same), &oraclemarket.Chunk{
				Number: 1, FileName: "wordpress.tar.gz", File: strings.NewReader("1"), Size: 1,
			})
			require.NoError(t, err)
		}
		deleted := r.other(t, 3, same)
		_, err := r.images.DeleteEverywhere(t.Context(), deleted)
		require.NoError(t, err)
		r.AddImage(oraclemarkettest.Image{
			Application: "wordpress", Version: "OL67", OperatingSystem: "Linux", FileName: "wordpress.tar.gz", Size: 3,
		})
		// More than two pages of them.
		for i := range 230 {
			r.other(t, 3, func(u *oraclemarket.InitiateUploadRequest) { u.Application = fmt.Sprint("app", i) })
		}
		before := len(r.Uploads())

		r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpInitiate, Drop: oraclemarkettest.DropAfter})
		data := randomBytes(3 * testChunk)
		req := imageOf(data, nil)
		req.OverwriteStorageFile = new(true) // one of them has been stored
		done, err := r.images.Upload(t.Context(), req)
		require.NoError(t, err)
		all := r.Uploads()
		require.Len(t, all, before+1)
		require.Equal(t, all[before].ID, done.UploadRequestID)
		requireImage(t, all[before], data)
		require.Equal(t, 4*3, r.Count(oraclemarkettest.OpList), "a page of 100 each")
	})
}

func TestUploadLostInitiateAmbiguous(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := inMemory(t, nil, nil)
		data := randomBytes(3 * testChunk)
		twin := r.other(t, 3, func(*oraclemarket.InitiateUploadRequest) {})
		r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpInitiate, Drop: oraclemarkettest.DropAfter})
		store := &memStore{}
		_, err := r.images.Upload(t.Context(), imageOf(data, store))
		require.ErrorIs(t, err, oraclemarket.ErrAmbiguous)
		require.Len(t, r.Uploads(), 2)
		require.ErrorContains(t, err, jsonText(t, twin))
		ours := r.Uploads()[1].ID
		require.ErrorContains(t, err, jsonText(t, ours))

		// As the error says: delete the one that is not wanted.
		_, err = r.images.DeleteEverywhere(t.Context(), twin)
		require.NoError(t, err)
		done, err := r.images.Upload(t.Context(), imageOf(data, store))
		require.NoError(t, err)
		require.Equal(t, ours, done.UploadRequestID)
		require.Len(t, r.Uploads(), 2)
	})
}

// The list shifts while its pages are read: what was last on one comes first on
// the next. And a service may keep the name as the header had it.
func TestUploadLostInitiateSeenTwice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := inMemory(t, nil, nil)
		const ours = 7934470
		r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpInitiate, Drop: oraclemarkettest.DropAfter})
		for first, more := range map[int64]bool{1: true, 2: false} {
			r.Inject(oraclemarkettest.Fault{
				Operation: oraclemarkettest.OpList,
				Match:     func(req *http.Request) bool { return (req.URL.Query().Get("offset") == "") == more },
				Body: fmt.Sprintf(`{"items":[{"machineimage":{"uploadRequestId":%d,"application":"other"}},{"machineimage":{"uploadRequestId":%d,`+
					`"application":"wordpress","version":"OL67","operatingSystem":"Linux","fileName":"%%E6%%98%%A0.img",`+
					`"statusName":"Initiated","uploadedChunks":0,"pendingChunks":3}}],"hasMore":%t}`, first, ours, more),
			})
		}
		data := randomBytes(3 * testChunk)
		req := imageOf(data, nil)
		req.FileName = "映.img"
		done, err := r.images.Upload(t.Context(), req)
		require.NoError(t, err)
		require.EqualValues(t, ours, done.UploadRequestID)
		requireImage(t, r.only(t), data)
		require.Zero(t, r.FaultsLeft())
	})
}

// A refusal ends the first attempt of an upload for good, so nothing is left of it.
func TestUploadInitiateRefused(t *testing.T) {
	t.Parallel()
	r := overTCP(t, nil, nil)
	// Also with the first chunk, on which some services may insist.
	refuse := oraclemarkettest.Fault{Operation: oraclemarkettest.OpInitiate, Status: http.StatusBadRequest, Times: 2}
	r.Inject(refuse)
	store := &memStore{}
	_, err := r.images.Upload(t.Context(), imageOf(randomBytes(9), store))
	require.ErrorIs(t, err, oraclemarket.ErrBadRequest)
	require.Len(t, store.saved, 2)
	require.Equal(t, 2, r.Count(oraclemarkettest.OpInitiate))
	store.empty(t)
}

// The service says when to retry, which the outage limit bounds.
func TestUploadInitiateRetryAfter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := inMemory(t, nil, nil)
		r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpInitiate, Status: http.StatusServiceUnavailable, RetryAfter: "100"})
		data := randomBytes(3 * testChunk)
		start := time.Now()
		_, err := r.images.Upload(t.Context(), imageOf(data, nil))
		require.NoError(t, err)
		require.GreaterOrEqual(t, time.Since(start), 100*time.Second)
		requireImage(t, r.only(t), data)
	})
	synctest.Test(t, func(t *testing.T) {
		r := inMemory(t, nil, nil)
		r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpInitiate, Status: http.StatusServiceUnavailable, RetryAfter: "600", Times: -1})
		start := time.Now()
		_, err := r.images.Upload(t.Context(), imageOf(randomBytes(9), nil))
		require.ErrorIs(t, err, oraclemarket.ErrAmbiguous)
		require.ErrorContains(t, err, "its upload request may exist")
		require.Equal(t, 2, r.Count(oraclemarkettest.OpInitiate), "the last at the outage limit")
		require.InDelta(t, 5.5*60, time.Since(start).Seconds(), 5)
	})
}

// After a lost response a refusal does not prove that there is no upload request:
// the list may have been behind.
func TestUploadInitiateRefusedAfterLostResponse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := inMemory(t, nil, nil)
		r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpInitiate, Drop: oraclemarkettest.DropAfter})
		r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpList, Body: `{"items":[],"hasMore":false}`, Times: -1})
		r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpInitiate, Status: http.StatusForbidden})
		data := randomBytes(3 * testChunk)
		store := &memStore{}
		_, err := r.images.Upload(t.Context(), imageOf(data, store))
		require.ErrorIs(t, err, oraclemarket.ErrForbidden)
		require.Equal(t, "initiating", store.only(t).Phase)

		r.ClearFaults()
		_, err = r.images.Upload(t.Context(), imageOf(data, store))
		require.NoError(t, err)
		requireImage(t, r.only(t), data)
	})
}

// However long the attempts take, the first one's upload request is not too old.
func TestUploadLostInitiateLongAgo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := inMemory(t, nil, nil)
		r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpInitiate, Drop: oraclemarkettest.DropAfter})
		r.Inject(oraclemarkettest.Fault{
			Operation: oraclemarkettest.OpInitiate, Status: http.StatusServiceUnavailable, RetryAfter: "119", Times: 2,
		})
		began := time.Now()
		r.Inject(oraclemarkettest.Fault{
			Operation: oraclemarkettest.OpList, Body: `{"items":[],"hasMore":false}`, Times: -1,
			Match: func(*http.Request) bool { return time.Since(began) < 238*time.Second },
		})
		data := randomBytes(3 * testChunk)
		_, err := r.images.Upload(t.Context(), imageOf(data, nil))
		require.NoError(t, err)
		require.Greater(t, time.Since(began), 238*time.Second)
		require.Equal(t, 3, r.Count(oraclemarkettest.OpInitiate))
		requireImage(t, r.only(t), data)
	})
}

// lateInitiate has the service carry out the first initiate call only after a
// while, when nobody waits for the response any more.
type lateInitiate struct {
	next  http.RoundTripper
	after time.Duration
	done  chan struct{}
	calls atomic.Int64
}

// A service that is slow to carry out the first call is polled for as long
// as a call may take before there is another.
func TestUploadInitiateCarriedOutLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		late := &lateInitiate{after: 45 * time.Second, done: make(chan struct{})}
		// Without pauses between attempts there are some between polls.
		r := inMemoryThrough(t, clientOptions{oraclemarket.WithRetry(5, 0, 0)}, func(next http.RoundTripper) http.RoundTripper {
			late.next = next
			return late
		})
		data := randomBytes(3 * testChunk)
		_, err := r.images.Upload(t.Context(), imageOf(data, &memStore{}))
		require.NoError(t, err)
		<-late.done
		requireImage(t, r.only(t), data)
		require.EqualValues(t, 1, late.calls.Load())
		require.LessOrEqual(t, r.Count(oraclemarkettest.OpList), 20)
	})
}

// A clock that was ahead when the first call died, and was put right since,
// makes its request no older than that call.
func TestUploadInitiateWithAWrongClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := inMemory(t, nil, nil)
		data, store := randomBytes(3*testChunk), &memStore{}
		ctx, cancel := context.WithCancel(t.Context())
		r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpInitiate, Stall: oraclemarkettest.StallResponse, Process: true})
		time.AfterFunc(time.Second, cancel)
		_, err := r.images.Upload(ctx, imageOf(data, store))
		require.ErrorIs(t, err, context.Canceled)
		r.only(t)
		for key, state := range store.states {
			store.states[key] = resealed(t, state, func(fields map[string]any) {
				at, err := time.Parse(time.RFC3339Nano, fields["initiatedAt"].(string)) //nolint:errcheck // it is
				require.NoError(t, err)
				fields["initiatedAt"] = at.Add(10 * time.Minute)
			})
		}
		_, err = r.images.Upload(t.Context(), imageOf(data, store))
		require.NoError(t, err)
		requireImage(t, r.only(t), data)
	})
}

// A list that is late is no list without the upload request, whatever the
// failure, and also when the calls end.
func TestUploadLostInitiateListLags(t *testing.T) {
	t.Parallel()
	for name, fault := range uploadFaults {
		if !lostOnProcessing(&fault) {
			continue
		}
		for _, lag := range []time.Duration{500 * time.Millisecond, 3 * time.Second, 25 * time.Second} {
			t.Run(fmt.Sprint(name, ", ", lag), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					r := inMemory(t, serverOptions{oraclemarkettest.WithListLag(lag)}, nil)
					lost := fault
					lost.Operation, lost.Times = oraclemarkettest.OpInitiate, -1
					r.Inject(lost)
					data := randomBytes(3 * testChunk)
					_, err := r.images.Upload(t.Context(), imageOf(data, nil))
					require.NoError(t, err)
					requireImage(t, r.only(t), data)
					require.Equal(t, 1, r.Count(oraclemarkettest.OpInitiate))
				})
			})
		}
	}
}

// The service may keep names without blanks at their ends.
func TestUploadLostInitiateBlanks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := inMemory(t, nil, nil)
		r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpInitiate, Drop: oraclemarkettest.DropAfter})
		r.Inject(oraclemarkettest.Fault{
			Operation: oraclemarkettest.OpList, Times: -1,
			Body: `{"items":[{"uploadRequestId":7934470,"application":"wordpress","version":"OL67","operatingSystem":"Linux",` +
				`"fileName":"wordpress.tar.gz","statusName":"Initiated"}],"hasMore":false}`,
		})
		data := randomBytes(3 * testChunk)
		req := imageOf(data, nil)
		req.Application, req.Version, req.OperatingSystem, req.FileName = " wordpress ", "OL67\t", " Linux", "wordpress.tar.gz "
		_, err := r.images.Upload(t.Context(), req)
		require.NoError(t, err)
		requireImage(t, r.only(t), data)
	})
}

// A gateway that strips Date leaves nothing to compare the clocks by: the
// service's may still be ten minutes off.
func TestUploadLostInitiateWithoutDate(t *testing.T) {
	t.Parallel()
	for _, off := range []time.Duration{-10 * time.Minute, 0, 10 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			clock := oraclemarkettest.WithClock(func() time.Time { return time.Now().Add(off) })
			r := inMemory(t, serverOptions{clock}, nil)
			r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpInitiate, Drop: oraclemarkettest.DropAfter})
			r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpList, Times: -1, Header: http.Header{"Date": nil}})
			data := randomBytes(3 * testChunk)
			_, err := r.images.Upload(t.Context(), imageOf(data, nil))
			require.NoError(t, err)
			requireImage(t, r.only(t), data)
		})
	}
}

// Ctrl-C in the first call: the next one finds the request, on a machine whose
// clock is ten minutes off.
func TestUploadInterruptedInitiateOtherClock(t *testing.T) {
	t.Parallel()
	for _, off := range []time.Duration{-10 * time.Minute, 0, 10 * time.Minute} {
		for _, later := range []time.Duration{0, 11 * time.Minute, 24 * time.Hour} {
			synctest.Test(t, func(t *testing.T) {
				r := inMemory(t, serverOptions{oraclemarkettest.WithListLag(3 * time.Second)}, nil)
				data, store := randomBytes(3*testChunk), &memStore{}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpInitiate, Stall: oraclemarkettest.StallResponse, Process: true})
				time.AfterFunc(time.Second, cancel)
				_, err := r.images.Upload(ctx, imageOf(data, store))
				require.ErrorIs(t, err, context.Canceled)
				require.ErrorContains(t, err, "its upload request may exist")
				for key, state := range store.states {
					store.states[key] = resealed(t, state, func(fields map[string]any) {
						for _, name := range []string{"initiatedAt", "lastInitiateAt"} {
							at, err := time.Parse(time.RFC3339Nano, fields[name].(string)) //nolint:errcheck,forcetypeassert // it is
							require.NoError(t, err)
							fields[name] = at.Add(off)
						}
					})
				}
				<-time.After(later)
				_, err = r.images.Upload(t.Context(), imageOf(data, store))
				require.NoError(t, err)
				requireImage(t, r.only(t), data)
			})
		}
	}
}

// Two accounts with one folder for checkpoints do not meet.
func TestUploadTwoAccounts(t *testing.T) {
	t.Parallel()
	r := overTCP(t, serverOptions{oraclemarkettest.WithUsers("partner@example.com", "other@example.com")}, nil)
	store := &memStore{}
	data := r.interrupted(t, store, 4)
	other, err := oraclemarket.New("other@example.com", oraclemarket.StaticToken(r.Token), oraclemarket.WithBaseURL(r.URL))
	require.NoError(t, err)
	done, err := other.MachineImages.Upload(t.Context(), imageOf(data, store))
	require.NoError(t, err)
	u, _ := r.Upload(done.UploadRequestID)
	require.Equal(t, "other@example.com", u.User)
	_, err = r.images.Upload(t.Context(), imageOf(data, store))
	require.NoError(t, err)
	require.Len(t, r.Uploads(), 2)
	store.empty(t)
}

// Another process begins the same image in the same moment: what sets the two
// apart is used, and what does not is said.
func TestUploadLostInitiateOfTwo(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		other string // members of the other's record
		found bool
	}{
		"its creator":        {`"createdBy":"other@example.com"`, true},
		"its chunks":         {`"uploadedChunks":1,"pendingChunks":2`, true},
		"its size":           {`"uploadedChunks":0,"pendingChunks":7`, true},
		"it is a day older":  {`"createdDate":"1999-12-31T00:00:00.000Z"`, true},
		"it is made later":   {`"createdDate":"2000-01-01T02:00:00.000Z"`, true},
		"nothing":            {`"createdBy":"John Doe"`, false},
		"it is made in time": {`"createdDate":"2000-01-01T01:01:00.000Z"`, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := inMemory(t, nil, nil)
				r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpInitiate, Drop: oraclemarkettest.DropAfter})
				const record = `"application":"wordpress","version":"OL67","operatingSystem":"Linux","fileName":"wordpress.tar.gz","statusName":"Initiated"`
				r.Inject(oraclemarkettest.Fault{
					Operation: oraclemarkettest.OpList, Times: -1,
					Header: http.Header{"Date": {time.Now().UTC().Format(http.TimeFormat)}},
					Body: `{"items":[{"uploadRequestId":1,` + record + `,` + test.other + `},{"uploadRequestId":7934470,` + record +
						`,"createdDate":"2000-01-01T00:00:00.000Z","createdBy":"Partner@Example.com"}],"hasMore":false}`,
				})
				data, store := randomBytes(3*testChunk), &memStore{}
				start := time.Now()
				_, err := r.images.Upload(t.Context(), imageOf(data, store))
				if test.found {
					require.NoError(t, err)
					requireImage(t, r.only(t), data)
					return
				}
				require.ErrorIs(t, err, oraclemarket.ErrAmbiguous)
				require.ErrorContains(t, err, "upload requests [1 7934470] all match")
				require.GreaterOrEqual(t, time.Since(start), 30*time.Second, "one of them may have shown what it is")
				require.Equal(t, 1, r.Count(oraclemarkettest.OpInitiate))
				require.Equal(t, "initiating", store.only(t).Phase)
			})
		})
	}
}

// Two uploads of one image in one process, of different builds: that one's
// initiate call did not arrive does not have it take the other's upload request.
func TestUploadLostInitiateBesideAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := inMemory(t, nil, nil)
		r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpInitiate, Skip: 1, Drop: oraclemarkettest.DropDuring})
		one, other := randomBytes(9*testChunk), bytes.Repeat([]byte("b"), 9*testChunk)
		var wg sync.WaitGroup
		for i, data := range [][]byte{one, other} {
			wg.Go(func() {
				<-time.After(time.Duration(i) * time.Second)
				req := imageOf(data, nil)
				if i == 0 { // its first chunk is still on its way when the other looks
					req.Concurrency, req.BytesPerSecond = 1, testChunk/50
				}
				_, err := r.images.Upload(t.Context(), req)
				require.NoError(t, err)
			})
		}
		wg.Wait()
		require.Len(t, r.Uploads(), 2)
		requireImage(t, r.Uploads()[0], one)
		requireImage(t, r.Uploads()[1], other)
	})
}

// Nor do they share one through a store that has no locks.
func TestUploadTwiceFromOneCheckpoint(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := inMemory(t, nil, nil)
		store := &memStore{}
		data := r.interrupted(t, store, 4)
		req := imageOf(data, store)
		req.Progress = func(oraclemarket.UploadProgress) {
			_, err := r.images.Upload(t.Context(), imageOf(data, store))
			require.ErrorIs(t, err, oraclemarket.ErrCheckpointLocked)
		}
		_, err := r.images.Upload(t.Context(), req)
		require.NoError(t, err)
		requireImage(t, r.only(t), data)
	})
}

// Ours never arrived, and the one that was taken for it is somebody else's: that
// shows when chunks come that nobody here has sent.
func TestUploadAdoptedFromSomebodyElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := inMemory(t, nil, nil)
		theirs := r.other(t, 9, func(*oraclemarket.InitiateUploadRequest) {})
		r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpInitiate, Drop: oraclemarkettest.DropDuring})
		req := imageOf(randomBytes(9*testChunk), nil)
		req.Concurrency = 1
		req.Progress = func(p oraclemarket.UploadProgress) {
			if p.Chunks == 1 {
				_, err := r.images.UploadChunk(t.Context(), theirs, &oraclemarket.Chunk{
					Number: 9, FileName: "wordpress.tar.gz", File: strings.NewReader("9"), Size: 1,
				})
				require.NoError(t, err)
			}
		}
		_, err := r.images.Upload(t.Context(), req)
		require.ErrorIs(t, err, oraclemarket.ErrAmbiguous)
		require.ErrorContains(t, err, "counts 3 chunks, of which this upload has sent 2: another upload uses it")
		require.Zero(t, r.Count(oraclemarkettest.OpMerge))
	})
}
