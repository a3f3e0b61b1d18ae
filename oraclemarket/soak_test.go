package oraclemarket_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

// seedEnv repeats a soak by the seed that it printed.
const seedEnv = "IMAGEJOBS_SEED"

// soak is one run, and what it did.
type soak struct {
	seed              uint64
	smallest, largest int64         // bytes of an image
	listLag           time.Duration // up to this
	lag               time.Duration // that the clients reckon with
	limit             time.Duration // of an attempt
	most, times       int           // faults a run, and requests that one is for
	paced             bool          // chunks are refused for their rate, too

	mu                                                       sync.Mutex
	uploads, runs, resumes, faults, swaps, refused, restarts int
	kills, sources                                           map[string]int
	bytes, kept                                              int64
	lost, mostLost                                           int // acknowledged chunks that no checkpoint had when killed
}

// Uploads of random size, in random chunks, by processes that are killed at
// random moments, to a service that fails at random, whose lists lag, from a file
// that is another build of the same size and time in a third of the resumes: each
// image is merged whole, as one upload request, or not at all, and no chunk that
// a checkpoint has is sent again. What was acknowledged is in it, unless a kill
// came before the save. The long form has another seed each time, 200 images
// of 8 to 64 MiB and lists that lag for up to 3 s; let it do 16 at once, with -parallel 16.
func TestUploadSoak(t *testing.T) {
	t.Parallel()
	s := &soak{
		seed: 14, kills: map[string]int{}, sources: map[string]int{},
		smallest: 3 << 20, largest: 5 << 20,
		listLag: 300 * time.Millisecond, lag: 2 * time.Second, limit: 3 * time.Second, // a busy machine lags as well
		most: 2, times: 1,
	}
	uploads := 6
	if os.Getenv(longEnv) == "1" {
		s.seed = uint64(time.Now().UnixNano())
		uploads, s.smallest, s.largest = 200, 8<<20, 64<<20
		s.listLag, s.lag, s.limit = 3*time.Second, 5*time.Second, 2*time.Second
		s.most, s.times, s.paced = 3, 3, true
	}
	if text := os.Getenv(seedEnv); text != "" {
		var err error
		s.seed, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("%s=%d", seedEnv, s.seed)
	began := time.Now()
	t.Run("images", func(t *testing.T) {
		for i := range uploads {
			t.Run(strconv.Itoa(i), func(t *testing.T) {
				t.Parallel()
				s.upload(t, i)
			})
		}
	})
	_, sources := counts(s.sources)
	t.Logf("%d uploads (%s), %d MiB, %d processes", s.uploads, sources, s.bytes>>20, s.runs)
	all, kills := counts(s.kills)
	t.Logf("%d killed (%s)", all, kills)
	t.Logf("%d faults; %d resumes, %d of them of another build: %d refused, %d started over; %s",
		s.faults, s.resumes, s.swaps, s.refused, s.restarts, time.Since(began).Round(time.Second))
	t.Logf("%d chunks in checkpoints when killed, none sent again; %d acknowledged but not in them, at most %d at once",
		s.kept, s.lost, s.mostLost)
}

func counts(of map[string]int) (all int, text string) {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(of)) {
		parts = append(parts, fmt.Sprintf("%d %s", of[name], name))
		all += of[name]
	}
	return all, strings.Join(parts, ", ")
}

// soaked is one upload of a soak.
type soaked struct {
	*soak
	*uploadRig

	random       *rand.Rand
	task         *childTask
	builds       *builds
	chunks       int
	requests     int         // upload requests that the service should have made, at most
	acknowledged map[int]int // chunk to how often it had been received when it was
}

func (s *soak) upload(t *testing.T, i int) {
	t.Helper()
	random := rand.New(rand.NewPCG(s.seed, uint64(i)))
	size := s.smallest + random.Int64N(s.largest-s.smallest)
	path := filepath.Join(t.TempDir(), "wordpress.tar.gz")
	r := overTCP(t, serverOptions{oraclemarkettest.WithListLag(time.Duration(random.Int64N(int64(s.listLag) + 1)))}, nil)
	task := r.task(path, t.TempDir())
	task.ChunkSize = size/(4+random.Int64N(30)) + 1
	task.Concurrency = 1 + random.IntN(8)
	task.Piped, task.NoChecksum = random.IntN(2) == 0, random.IntN(4) == 0
	if random.IntN(4) == 0 {
		task.BytesPerSecond = 8 * size
	}
	task.Wait, task.Limit, task.Lag = 20*time.Millisecond, s.limit, s.lag
	u := &soaked{
		soak: s, uploadRig: r, random: random, task: task, builds: newBuilds(t, path, random, size),
		chunks: int((size-1)/task.ChunkSize) + 1, requests: 1, acknowledged: map[int]int{},
	}
	for run := 0; !u.run(t, run); run++ {
		require.Less(t, run, 25, "it does not come to an end")
	}
	done := r.current(t)
	require.Equal(t, oraclemarkettest.Completed, done.Status)
	got, err := done.MD5()
	require.NoError(t, err)
	require.Contains(t, u.builds.sums, got, "the image is neither build, it is a mix")
	u.requireSentOnce(t, done)
	require.Equal(t, u.requests, r.Processed(oraclemarkettest.OpInitiate), "upload requests")
	require.Nil(t, keptIfAny(t, task.Checkpoints))
	for _, req := range r.Requests() {
		require.Empty(t, req.TransferEncoding)
	}
	s.count(func() {
		s.uploads++
		s.sources[task.source()]++
		s.bytes += size
	})
	r.Close()
}

func (s *soak) count(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// requireSentOnce makes sure that no chunk came again once a checkpoint had it.
func (u *soaked) requireSentOnce(t *testing.T, now *oraclemarkettest.Upload) {
	t.Helper()
	for number, times := range u.acknowledged {
		require.Equal(t, times, now.Receipts[number], "chunk %d was sent again", number)
	}
}

// run is one process. It reports whether the upload has ended.
func (u *soaked) run(t *testing.T, run int) (ended bool) {
	t.Helper()
	swapped := run > 0 && run < 7 && u.random.IntN(3) == 0
	u.builds.use(t, swapped)
	u.ClearFaults()
	kill := &soakKill{}
	if run < 4 && u.random.IntN(4) > 0 {
		kill = u.randomKill() // before the faults: it holds what it matches
	}
	if run < 6 {
		for range u.random.IntN(u.most + 1) {
			u.Inject(u.randomFault())
		}
	}
	faults, before := u.FaultsLeft(), keptIfAny(t, u.task.Checkpoints)
	p, killed, acknowledged := u.start(t, kill)
	kept := keptIfAny(t, u.task.Checkpoints)
	u.countLost(t, len(before)+acknowledged-len(kept), killed, kept == nil || strings.Contains(p.stderr.String(), changedText))
	u.count(func() {
		u.runs++
		u.faults += faults - u.FaultsLeft()
		if run > 0 && run < 7 {
			u.resumes++
		}
		if swapped {
			u.swaps++
		}
		if killed {
			u.kills[kill.name]++
			u.kept += int64(len(kept))
		}
	})
	now := u.current(t)
	switch {
	case p.cmd.ProcessState.Success():
		return true
	case now != nil && now.Status == oraclemarkettest.Completed && kept == nil:
		return true // killed when all was done
	case now == nil:
		return false
	}
	u.requireSentOnce(t, now)
	for _, number := range kept {
		u.acknowledged[number] = now.Receipts[number]
	}
	text := p.stderr.String()
	if !killed {
		named := strings.Contains(text, fmt.Sprintf("upload request %d", now.ID)) || strings.Contains(text, "there may be an upload request")
		require.True(t, named, "%s does not say what is left", text)
	}
	if strings.Contains(text, changedText) {
		require.Zero(t, u.Processed(oraclemarkettest.OpMerge), "nothing mixed is merged")
		u.count(func() { u.refused++ })
		if !swapped {
			u.startOver(t, now.ID) // it continued with the other build, and was killed
		}
	}
	return false
}

const changedText = "the source changed since the upload began"

// countLost counts acknowledged chunks that the checkpoint has not: after a kill
// those of the moment, which are as few as there are chunks in flight, otherwise
// none. Where the upload has ended, or was of another build, it has others.
func (u *soaked) countLost(t *testing.T, lost int, killed, ended bool) {
	t.Helper()
	switch {
	case ended:
		return
	case !killed:
		require.Zero(t, lost, "acknowledged chunks that the checkpoint has not")
	}
	require.LessOrEqual(t, lost, 2*u.task.Concurrency, "acknowledged chunks that the checkpoint has not")
	u.count(func() {
		u.lost += lost
		u.mostLost = max(u.mostLost, lost)
	})
}

// source is what the task reads, in words.
func (c *childTask) source() string {
	text := "files"
	if c.Piped {
		text = "pipes"
	}
	if c.NoChecksum {
		text += " unchecked"
	}
	if c.BytesPerSecond > 0 {
		text += " limited"
	}
	return text
}

// startOver does what the error says.
func (u *soaked) startOver(t *testing.T, id int64) {
	t.Helper()
	u.count(func() { u.restarts++ })
	u.ClearFaults()
	_, err := u.images.DeleteEverywhere(t.Context(), id)
	require.NoError(t, err)
	names, err := filepath.Glob(filepath.Join(u.task.Checkpoints, "*"))
	require.NoError(t, err)
	for _, name := range names {
		require.NoError(t, os.Remove(name))
	}
	u.acknowledged = map[int]int{}
	u.requests++
}

// current is the one upload request that is not deleted, nil if there is none.
func (r *uploadRig) current(t *testing.T) *oraclemarkettest.Upload {
	t.Helper()
	var found *oraclemarkettest.Upload
	for _, u := range r.Uploads() {
		if u.Status != oraclemarkettest.Deleted {
			require.Nil(t, found, "two upload requests")
			found = &u
		}
	}
	return found
}

// keptIfAny are the acknowledged chunks, none where a process came to its end
// before its first checkpoint or was killed after its last.
func keptIfAny(t *testing.T, dir string) []int {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.json"))
	require.NoError(t, err)
	if len(names) == 0 {
		return nil
	}
	return append([]int{}, keptChunks(t, dir)...)
}

// randomFault is a transient failure of one request or a few.
func (u *soaked) randomFault() oraclemarkettest.Fault {
	operations := []string{
		oraclemarkettest.OpAuthenticate, oraclemarkettest.OpInitiate, oraclemarkettest.OpList, oraclemarkettest.OpUploadChunk,
		oraclemarkettest.OpUploadChunk, oraclemarkettest.OpUploadChunk, oraclemarkettest.OpMerge, oraclemarkettest.OpGet,
	}
	faults := []oraclemarkettest.Fault{
		{Status: 500}, {Status: 502, Process: true},
		{Drop: oraclemarkettest.DropBefore}, {Drop: oraclemarkettest.DropDuring}, {Drop: oraclemarkettest.DropAfter},
		{Truncate: true}, {CutJSON: true}, {Body: "<html>Please log in</html>"}, {Body: `{}`}, {Early: true},
		{Delay: 50 * time.Millisecond}, {Stall: oraclemarkettest.StallResponse},
		{Status: 503, RetryAfter: "0"}, {Status: 429},
	}
	operation := operations[u.random.IntN(len(operations))]
	if operation == oraclemarkettest.OpUploadChunk && !u.paced {
		faults = faults[:len(faults)-2] // chunks would come at a second's interval from then on
	}
	f := faults[u.random.IntN(len(faults))]
	f.Operation = operation
	f.Times = 1 + u.random.IntN(u.times)
	f.Skip = u.random.IntN(4)
	return f
}
