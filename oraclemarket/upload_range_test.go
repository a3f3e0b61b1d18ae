package oraclemarket_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/oraclemarket"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

// initiated is the id of a new upload request for an image of imageOf.
func (r *uploadRig) initiated(t *testing.T, chunks int) int64 {
	t.Helper()
	created, err := r.images.Initiate(t.Context(), &oraclemarket.InitiateUploadRequest{
		Application: "wordpress", Version: "OL67", OperatingSystem: "Linux", FileName: "wordpress.tar.gz", NumberOfChunks: chunks,
	})
	require.NoError(t, err)
	return created.EntityID
}

// uploaded sends data in ranges of so many chunks, one after the other.
func (r *uploadRig) uploaded(t *testing.T, data []byte, store oraclemarket.CheckpointStore, counts ...int) []oraclemarket.UploadedRange {
	t.Helper()
	part := oraclemarket.ChunkRange{UploadRequestID: r.initiated(t, (len(data)-1)/testChunk+1)}
	var all []oraclemarket.UploadedRange
	for _, part.Count = range counts {
		sent, err := r.images.UploadRange(t.Context(), imageOf(data, store), part)
		require.NoError(t, err)
		all = append(all, *sent)
		part.First += part.Count
	}
	return all
}

// Three machines share an image, each with a client of its own.
func TestUploadRanges(t *testing.T) {
	t.Parallel()
	for _, first := range []int{0, 1} {
		for _, checksum := range []bool{true, false} {
			for proof := range 3 {
				t.Run(fmt.Sprintf("first %d, checksum %t, proof %d", first, checksum, proof), func(t *testing.T) {
					t.Parallel()
					r := overTCP(t, serverOptions{oraclemarkettest.WithFirstChunkNumber(first)}, nil)
					data := randomBytes(10*testChunk + 1)
					id := r.initiated(t, 11)
					results := make([]oraclemarket.UploadedRange, 3)
					var machines sync.WaitGroup
					for i, part := range []oraclemarket.ChunkRange{{id, 7, 4}, {id, 0, 3}, {id, 3, 4}} {
						machines.Go(func() {
							req := imageOf(data, nil)
							req.DisableChecksum = !checksum
							sent, err := overClient(t, r, oraclemarket.WithFirstChunkNumber(first)).UploadRange(t.Context(), req, part)
							if err != nil {
								t.Error(err)
								return
							}
							text, err := json.Marshal(sent) // as it travels
							if err == nil {
								err = json.Unmarshal(text, &results[i])
							}
							if err != nil {
								t.Error(err)
							}
						})
					}
					machines.Wait()
					if t.Failed() {
						return
					}
					req := imageOf(data, nil)
					switch proof {
					case 0:
						req.File, req.Size = nil, 0
					case 1:
						req.Reader, req.File = bytes.NewReader(data), nil
					}
					done, err := overClient(t, r, oraclemarket.WithFirstChunkNumber(first)).MergeRanges(t.Context(), req, results)
					require.NoError(t, err)
					require.Equal(t, oraclemarket.StatusCompleted, done.StatusName)
					u := r.only(t)
					requireImage(t, u, data)
					require.Len(t, u.Receipts, 11)
					r.requireReceipts(t, u)
					require.Equal(t, 1, r.Count(oraclemarkettest.OpMerge))
				})
			}
		}
	}
}

func TestUploadRangeProgress(t *testing.T) {
	t.Parallel()
	r := overTCP(t, nil, nil)
	data := randomBytes(9*testChunk + 1)
	req := imageOf(data, nil)
	var last oraclemarket.UploadProgress
	req.Progress = func(p oraclemarket.UploadProgress) { last = p }
	id := r.initiated(t, 10)
	_, err := r.images.UploadRange(t.Context(), req, oraclemarket.ChunkRange{UploadRequestID: id, First: 8, Count: 2})
	require.NoError(t, err)
	last.BytesPerSecond = 0
	require.Equal(t, oraclemarket.UploadProgress{
		UploadRequestID: id, Bytes: testChunk + 1, SentBytes: testChunk + 1, Total: testChunk + 1, Chunks: 2, TotalChunks: 2,
	}, last)
}

// The worker of a range is killed; another one goes on with its checkpoint. A
// range that is complete is not sent again.
func TestUploadRangeResume(t *testing.T) {
	t.Parallel()
	for _, checksum := range []bool{true, false} {
		r := overTCP(t, nil, nil)
		data, store := randomBytes(12*testChunk), &memStore{}
		part := oraclemarket.ChunkRange{UploadRequestID: r.initiated(t, 12), First: 2, Count: 8}
		upload := func() *oraclemarket.ImageUpload {
			req := imageOf(data, store)
			req.Concurrency, req.DisableChecksum = 1, !checksum
			return req
		}
		req := upload()
		_, err := r.images.UploadRange(r.interruptAfter(t.Context(), req, 3), req, part)
		require.ErrorIs(t, err, context.Canceled)
		var failed *oraclemarket.UploadError
		require.ErrorAs(t, err, &failed)
		require.Equal(t, oraclemarket.UploadError{
			UploadRequestID: part.UploadRequestID, CheckpointKey: failed.CheckpointKey, Chunks: 3, TotalChunks: 8, Err: failed.Err,
		}, *failed)
		require.Contains(t, store.states, failed.CheckpointKey)
		require.Equal(t, []int{3, 4, 5}, store.only(t).numbers())

		var results []oraclemarket.UploadedRange
		for range 2 {
			sent, err := overClient(t, r).UploadRange(t.Context(), upload(), part)
			require.NoError(t, err)
			results = append(results, *sent)
			require.Equal(t, 8, r.Processed(oraclemarkettest.OpUploadChunk))
		}
		require.Equal(t, results[0], results[1])
		for _, part := range []oraclemarket.ChunkRange{{part.UploadRequestID, 0, 2}, {part.UploadRequestID, 10, 2}} {
			sent, err := r.images.UploadRange(t.Context(), upload(), part)
			require.NoError(t, err)
			results = append(results, *sent)
		}
		require.Len(t, store.states, 3)
		_, err = r.images.MergeRanges(t.Context(), upload(), results[1:])
		require.NoError(t, err)
		requireImage(t, r.only(t), data)
		r.requireReceipts(t, r.only(t))
		store.empty(t)

		// After all of it, the same calls tell the same.
		_, err = r.images.MergeRanges(t.Context(), upload(), results[1:])
		require.NoError(t, err)
		require.Equal(t, 1, r.Count(oraclemarkettest.OpMerge))
	}
}

// Without a checkpoint all is sent again, and arrives.
func TestUploadRangeAgain(t *testing.T) {
	t.Parallel()
	r := overTCP(t, nil, nil)
	data := randomBytes(5 * testChunk)
	part := oraclemarket.ChunkRange{UploadRequestID: r.initiated(t, 5), Count: 5}
	req := imageOf(data, nil)
	req.Concurrency = 1
	_, err := r.images.UploadRange(r.interruptAfter(t.Context(), req, 2), req, part)
	require.ErrorIs(t, err, context.Canceled)
	sent, err := r.images.UploadRange(t.Context(), imageOf(data, nil), part)
	require.NoError(t, err)
	_, err = r.images.MergeRanges(t.Context(), imageOf(data, nil), []oraclemarket.UploadedRange{*sent})
	require.NoError(t, err)
	requireImage(t, r.only(t), data)
}

func TestUploadRangeBadInput(t *testing.T) {
	t.Parallel()
	r := overTCP(t, nil, nil)
	data := randomBytes(9 * testChunk)
	for field, change := range map[string]func(*oraclemarket.ImageUpload, *oraclemarket.ChunkRange){
		"ImageUpload.FileName":  func(u *oraclemarket.ImageUpload, _ *oraclemarket.ChunkRange) { u.FileName = "" },
		"ImageUpload.File":      func(u *oraclemarket.ImageUpload, _ *oraclemarket.ChunkRange) { u.File = nil },
		"ImageUpload.Size":      func(u *oraclemarket.ImageUpload, _ *oraclemarket.ChunkRange) { u.Size = 0 },
		"ImageUpload.ChunkSize": func(u *oraclemarket.ImageUpload, _ *oraclemarket.ChunkRange) { u.ChunkSize = 0 },
		"ImageUpload.Reader": func(u *oraclemarket.ImageUpload, _ *oraclemarket.ChunkRange) {
			u.File, u.Reader = nil, bytes.NewReader(data)
		},
		"ChunkRange.UploadRequestID":  func(_ *oraclemarket.ImageUpload, c *oraclemarket.ChunkRange) { c.UploadRequestID = 0 },
		"ChunkRange.First":            func(_ *oraclemarket.ImageUpload, c *oraclemarket.ChunkRange) { c.First = -1 },
		"ChunkRange.First: must be 0": func(_ *oraclemarket.ImageUpload, c *oraclemarket.ChunkRange) { c.First = 9 },
		"ChunkRange.Count":            func(_ *oraclemarket.ImageUpload, c *oraclemarket.ChunkRange) { c.Count = 0 },
		"ChunkRange.Count: must be 1 to 7, as there are 9 chunks, not 8": func(_ *oraclemarket.ImageUpload, c *oraclemarket.ChunkRange) { c.Count = 8 },
	} {
		req, part := imageOf(data, nil), oraclemarket.ChunkRange{UploadRequestID: 7, First: 2, Count: 2}
		change(req, &part)
		_, err := r.images.UploadRange(t.Context(), req, part)
		require.ErrorIs(t, err, oraclemarket.ErrInvalidArgument)
		require.ErrorContains(t, err, field)
	}
	_, err := r.images.UploadRange(t.Context(), nil, oraclemarket.ChunkRange{})
	require.ErrorIs(t, err, oraclemarket.ErrInvalidArgument)
	require.Empty(t, r.Requests())
}

func TestMergeRangesBadInput(t *testing.T) {
	t.Parallel()
	r := overTCP(t, nil, nil)
	data := randomBytes(9 * testChunk)
	all := r.uploaded(t, data, nil, 4, 3, 2)
	before := len(r.Requests())
	type ranges = []oraclemarket.UploadedRange
	for problem, change := range map[string]func(ranges) ranges{
		"must not be empty":                func(ranges) ranges { return nil },
		"lack chunk 4 of 9":                func(l ranges) ranges { return slices.Delete(l, 1, 2) },
		"lack chunk 7 of 9":                func(l ranges) ranges { return l[:2] },
		"lack chunk 0 of 9":                func(l ranges) ranges { return l[1:] },
		"have chunk 4 twice":               func(l ranges) ranges { return append(l, l[1]) },
		"have chunk 3 twice":               func(l ranges) ranges { l[1].First--; return l },
		"ChunkRange.Count: must be 1 to 2": func(l ranges) ranges { l[2].Count++; return l },
		"ChunkRange.Count: must be 1 to 5": func(l ranges) ranges { l[1].Count = -1; return l },
		"are of upload requests ":          func(l ranges) ranges { l[2].UploadRequestID++; return l },
		"have chunk sizes 1000 and 1001":   func(l ranges) ranges { l[2].ChunkSize++; return l },
		"have a chunk size of 0":           func(l ranges) ranges { l[0].ChunkSize = 0; return l },
		"were sent with DisableChecksum":   func(l ranges) ranges { l[2].Digest = "sha256" + l[2].Digest[3:]; return l },
		"have an invalid digest":           func(l ranges) ranges { l[2].Digest = l[2].Digest[:20]; return l },
		`"" is not the name of its hash`:   func(l ranges) ranges { l[2].Digest = ""; return l },
	} {
		_, err := r.images.MergeRanges(t.Context(), imageOf(data, nil), change(slices.Clone(all)))
		require.ErrorIs(t, err, oraclemarket.ErrInvalidArgument, problem)
		require.ErrorContains(t, err, problem)
	}
	_, err := r.images.MergeRanges(t.Context(), nil, all)
	require.ErrorIs(t, err, oraclemarket.ErrInvalidArgument)
	req := imageOf(data, nil)
	req.FileName = ""
	_, err = r.images.MergeRanges(t.Context(), req, all)
	require.ErrorIs(t, err, oraclemarket.ErrInvalidArgument)
	require.Len(t, r.Requests(), before)
}

// Two machines read different builds.
func TestMergeRangesOfAnotherSource(t *testing.T) {
	t.Parallel()
	const chunk = mib / 2
	upload := func(data []byte) *oraclemarket.ImageUpload {
		req := imageOf(data, nil)
		req.ChunkSize = chunk
		return req
	}
	for name, test := range map[string]struct {
		at     int // the byte that differs on the second machine, below 0 for one more at the end
		prove  bool
		change string
	}{
		"at the start":             {at: 3, change: "the fingerprint of its content was"},
		"at the end":               {at: 4*mib - 2, change: "the fingerprint of its content was"},
		"in its size":              {at: -1, change: "its size was 4194303 and is 4194304"},
		"in its range, proven":     {at: 2*mib + 9, prove: true, change: "the content of the 8 chunks sent before"},
		"not in its range, proven": {at: mib + 9, prove: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := overTCP(t, nil, nil)
			other := randomBytes(4 * mib)
			data := bytes.Clone(other[:4*mib-1])
			if test.at >= 0 {
				other = other[:4*mib-1]
				other[test.at] ^= 1
			}
			id := r.initiated(t, 8)
			one, err := r.images.UploadRange(t.Context(), upload(data), oraclemarket.ChunkRange{UploadRequestID: id, First: 0, Count: 4})
			require.NoError(t, err)
			two, err := r.images.UploadRange(t.Context(), upload(other), oraclemarket.ChunkRange{UploadRequestID: id, First: 4, Count: 4})
			require.NoError(t, err)
			req := upload(data)
			if !test.prove {
				req.File, req.Size = nil, 0
			}
			_, err = r.images.MergeRanges(t.Context(), req, []oraclemarket.UploadedRange{*one, *two})
			if test.change == "" {
				require.NoError(t, err)
				requireImage(t, r.only(t), data)
				return
			}
			var changed *oraclemarket.SourceChangedError
			require.ErrorAs(t, err, &changed)
			require.ErrorContains(t, err, test.change)
			require.Equal(t, id, changed.UploadRequestID)
			require.Zero(t, r.Count(oraclemarkettest.OpMerge))
		})
	}
	// Neither is merged with a file that the merging machine has.
	r := overTCP(t, nil, nil)
	data := randomBytes(9 * testChunk)
	all := r.uploaded(t, data, nil, 9)
	for _, other := range [][]byte{append(bytes.Clone(data), 1), data[1:], append(bytes.Clone(data[1:]), 1)} {
		_, err := r.images.MergeRanges(t.Context(), imageOf(other, nil), all)
		require.ErrorIs(t, err, oraclemarket.ErrSourceChanged)
	}
	for _, size := range []int64{-1 << 40, 1 << 62} { // nothing is made for as many chunks
		req := imageOf(data, nil)
		req.File, req.Size = nil, size
		_, err := r.images.MergeRanges(t.Context(), req, all)
		require.ErrorIs(t, err, oraclemarket.ErrSourceChanged)
	}
	require.Zero(t, r.Count(oraclemarkettest.OpMerge))
}

// The source of a range changes while it is sent, and between two calls.
func TestUploadRangeSourceChanges(t *testing.T) {
	t.Parallel()
	r := overTCP(t, nil, nil)
	file, store := &changingFile{data: randomBytes(9 * testChunk)}, &memStore{}
	part := oraclemarket.ChunkRange{UploadRequestID: r.initiated(t, 9), First: 3, Count: 4}
	req := imageOf(file.data, store)
	req.File = file
	req.Progress = func(p oraclemarket.UploadProgress) {
		if p.Chunks == 2 {
			file.change(func(data []byte) []byte { data[0] ^= 1; return data })
		}
	}
	_, err := r.images.UploadRange(t.Context(), req, part)
	require.ErrorIs(t, err, oraclemarket.ErrSourceChanged)
	require.ErrorContains(t, err, "the fingerprint of its content was")
	sent := r.Count(oraclemarkettest.OpUploadChunk)
	_, err = r.images.UploadRange(t.Context(), imageOf(file.data, store), part)
	require.ErrorIs(t, err, oraclemarket.ErrSourceChanged)
	require.Equal(t, sent, r.Count(oraclemarkettest.OpUploadChunk))
}

// What the upload request is decides before anything is sent.
func TestUploadRangeOfAnotherRequest(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		make func(t *testing.T, r *uploadRig, data []byte) (id int64)
		lag  time.Duration
		err  error
		text string
	}{
		"unknown": {
			make: func(*testing.T, *uploadRig, []byte) int64 { return 77 },
			err:  oraclemarket.ErrNotFound,
		},
		"shown late": {
			make: func(t *testing.T, r *uploadRig, _ []byte) int64 { t.Helper(); return r.initiated(t, 9) },
			lag:  20 * time.Second,
		},
		"another number of chunks": {
			make: func(t *testing.T, r *uploadRig, _ []byte) int64 { t.Helper(); return r.initiated(t, 8) },
			text: "has another number of chunks than 9: 0 uploaded, 8 pending",
		},
		"another number of chunks, some sent": {
			make: func(t *testing.T, r *uploadRig, data []byte) int64 {
				t.Helper()
				id := r.initiated(t, 3)
				req := imageOf(data, nil)
				req.ChunkSize = 3 * testChunk
				_, err := r.images.UploadRange(t.Context(), req, oraclemarket.ChunkRange{UploadRequestID: id, Count: 1})
				require.NoError(t, err)
				return id
			},
			text: "has another number of chunks than 9: 1 uploaded, 2 pending",
		},
		"another image": {
			make: func(t *testing.T, r *uploadRig, _ []byte) int64 {
				t.Helper()
				created, err := r.images.Initiate(t.Context(), &oraclemarket.InitiateUploadRequest{
					Application: "other", Version: "OL67", OperatingSystem: "Linux", FileName: "wordpress.tar.gz", NumberOfChunks: 9,
				})
				require.NoError(t, err)
				return created.EntityID
			},
			text: "is of another image: other OL67 Linux wordpress.tar.gz",
		},
		"merged": {
			make: func(t *testing.T, r *uploadRig, data []byte) int64 {
				t.Helper()
				done, err := r.images.Upload(t.Context(), imageOf(data, nil))
				require.NoError(t, err)
				return done.UploadRequestID
			},
			err: oraclemarket.ErrAlreadyMerged,
		},
		"deleted": {
			make: func(t *testing.T, r *uploadRig, _ []byte) int64 {
				t.Helper()
				id := r.initiated(t, 9)
				_, err := r.images.DeleteEverywhere(t.Context(), id)
				require.NoError(t, err)
				return id
			},
			text: `ended with status "Deleted"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := inMemory(t, serverOptions{oraclemarkettest.WithGetLag(test.lag)}, nil)
				data := randomBytes(9 * testChunk)
				id := test.make(t, r, data)
				before := r.Count(oraclemarkettest.OpUploadChunk)
				sent, err := r.images.UploadRange(t.Context(), imageOf(data, nil), oraclemarket.ChunkRange{UploadRequestID: id, Count: 9})
				if test.err == nil && test.text == "" {
					require.NoError(t, err)
					_, err = r.images.MergeRanges(t.Context(), imageOf(data, nil), []oraclemarket.UploadedRange{*sent})
					require.NoError(t, err)
					return
				}
				require.ErrorContains(t, err, test.text)
				if test.err != nil {
					require.ErrorIs(t, err, test.err)
				}
				require.False(t, oraclemarket.IsTransient(err))
				require.Equal(t, before, r.Count(oraclemarkettest.OpUploadChunk))
			})
		})
	}
}

// conflicting has the response to a chunk lost, and the chunk refused when it is
// sent again.
func (r *uploadRig) conflicting(number string, arrived bool) {
	is := func(req *http.Request) bool { return req.Header.Get("X-Chunk-Number") == number }
	r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpUploadChunk, Match: is, Status: http.StatusBadGateway, Process: arrived})
	r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpUploadChunk, Match: is, Status: http.StatusConflict})
}

// A chunk that is refused the second time is there if the service counts all.
func TestUploadRangeConflicts(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		options serverOptions
		lost    bool // the chunk is not there after all
		err     string
	}{
		"it is there":       {},
		"it is there, late": {options: serverOptions{oraclemarkettest.WithChunkCountLag(20 * time.Second)}},
		"it is not":         {lost: true, err: "the service has 8 of 9 chunks, and refused to take 1 again"},
		"nobody knows":      {options: serverOptions{oraclemarkettest.WithDialect(oraclemarkettest.Dialect{NoChunkCounts: true})}, err: "the service has 0 of 9 chunks"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := inMemory(t, test.options, nil)
				data := randomBytes(9 * testChunk)
				r.conflicting("6", !test.lost)
				all := r.uploaded(t, data, nil, 4, 5)
				require.Zero(t, r.FaultsLeft())
				require.Equal(t, []int{0, 1}, []int{all[0].Conflicts, all[1].Conflicts})
				_, err := r.images.MergeRanges(t.Context(), imageOf(data, nil), all)
				if test.err != "" {
					require.ErrorContains(t, err, test.err)
					require.Zero(t, r.Count(oraclemarkettest.OpMerge))
					return
				}
				require.NoError(t, err)
				requireImage(t, r.only(t), data)
			})
		})
	}
}

// A 409 for a chunk that nobody is known to have sent is an error. The first
// chunk may have gone with the initiate call.
func TestUploadRangeConflictUnknown(t *testing.T) {
	t.Parallel()
	for first, conflicts := range []int{1, 0} {
		r := overTCP(t, nil, nil)
		data := randomBytes(9 * testChunk)
		r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpUploadChunk, Status: http.StatusConflict})
		req := imageOf(data, nil)
		req.Concurrency = 1
		sent, err := r.images.UploadRange(t.Context(), req, oraclemarket.ChunkRange{UploadRequestID: r.initiated(t, 9), First: first, Count: 2})
		if conflicts == 0 {
			require.ErrorIs(t, err, oraclemarket.ErrConflict)
			require.ErrorContains(t, err, "chunk 2: ")
			continue
		}
		require.NoError(t, err)
		require.Equal(t, conflicts, sent.Conflicts)
	}
}

// The service has fewer chunks than the ranges say.
func TestMergeRangesLacksChunks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := inMemory(t, nil, nil)
		data := randomBytes(9 * testChunk)
		all := r.uploaded(t, data, nil, 4, 3)
		claimed := all[1]
		claimed.First, claimed.Count = 7, 2
		_, err := r.images.MergeRanges(t.Context(), imageOf(nil, nil), append(all, claimed))
		require.ErrorIs(t, err, oraclemarket.ErrSourceChanged, "a file of no bytes")
		req := imageOf(nil, nil)
		req.File = nil
		_, err = r.images.MergeRanges(t.Context(), req, append(all, claimed))
		require.ErrorContains(t, err, "the service has 7 of 9 chunks")
		require.Zero(t, r.Count(oraclemarkettest.OpMerge))
	})
}

// The response to the merge is lost, or the process that waits for it.
func TestMergeRangesLostMerge(t *testing.T) {
	t.Parallel()
	for _, stored := range []bool{true, false} {
		for _, killed := range []bool{true, false} {
			for _, refused := range []int{0, http.StatusBadRequest, http.StatusConflict} {
				t.Run(fmt.Sprintf("stored %t, killed %t, refused %d", stored, killed, refused), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) {
						r := inMemory(t, serverOptions{oraclemarkettest.WithJobTime(5 * time.Minute)}, nil)
						data := randomBytes(9 * testChunk)
						store := &memStore{}
						merge := func(ctx context.Context, all []oraclemarket.UploadedRange) error {
							req := imageOf(data, nil)
							if stored {
								req.Checkpoints = store
							}
							_, err := r.images.MergeRanges(ctx, req, all)
							return err
						}
						all := r.uploaded(t, data, store, 4, 5)
						r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpMerge, Stall: oraclemarkettest.StallResponse, Process: true})
						if refused != 0 {
							r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpMerge, Status: refused, Times: -1})
						}
						if killed {
							ctx, cancel := context.WithTimeout(t.Context(), time.Second)
							defer cancel()
							require.ErrorIs(t, merge(ctx, all), context.DeadlineExceeded)
						}
						require.NoError(t, merge(t.Context(), all))
						requireImage(t, r.only(t), data)
						require.LessOrEqual(t, r.Count(oraclemarkettest.OpMerge), 2)
						if stored {
							store.empty(t)
						}
					})
				})
			}
		}
	}
}

// The first refusal of a merge is one.
func TestMergeRangesRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := inMemory(t, nil, nil)
		data := randomBytes(9 * testChunk)
		all := r.uploaded(t, data, nil, 9)
		r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpMerge, Status: http.StatusBadRequest})
		_, err := r.images.MergeRanges(t.Context(), imageOf(data, nil), all)
		require.ErrorIs(t, err, oraclemarket.ErrBadRequest)
		var failed *oraclemarket.UploadError
		require.ErrorAs(t, err, &failed)
		require.Equal(t, all[0].UploadRequestID, failed.UploadRequestID)
		_, err = r.images.MergeRanges(t.Context(), imageOf(data, nil), all)
		require.NoError(t, err)
		requireImage(t, r.only(t), data)
	})
}

// With NoWait the merging machine goes on as soon as the service merges.
func TestMergeRangesNoWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := inMemory(t, serverOptions{oraclemarkettest.WithJobTime(time.Hour)}, nil)
		data := randomBytes(9 * testChunk)
		all := r.uploaded(t, data, nil, 9)
		req := imageOf(data, nil)
		req.NoWait = true
		now, err := r.images.MergeRanges(t.Context(), req, all)
		require.NoError(t, err)
		require.False(t, now.StatusName.Terminal())
		_, err = r.images.Wait(t.Context(), now.UploadRequestID)
		require.NoError(t, err)
	})
}

// An outage among the chunks of a range is ridden out, one behind the limit is
// not.
func TestUploadRangeOutage(t *testing.T) {
	t.Parallel()
	for _, lasts := range []time.Duration{4 * time.Minute, 6 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			r := inMemory(t, nil, nil)
			data := randomBytes(9 * testChunk)
			id := r.initiated(t, 9)
			req := imageOf(data, nil)
			down := false
			req.Progress = func(p oraclemarket.UploadProgress) {
				if p.Chunks == 3 && !down {
					down = true
					time.AfterFunc(lasts, r.StartOutage(oraclemarkettest.Outage{Status: http.StatusServiceUnavailable}))
				}
			}
			_, err := r.images.UploadRange(t.Context(), req, oraclemarket.ChunkRange{UploadRequestID: id, Count: 9})
			if lasts < 5*time.Minute {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, "given up after 5m0s without a success")
			require.True(t, oraclemarket.IsTransient(err))
		})
	}
}
