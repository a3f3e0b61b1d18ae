package oraclemarket_test

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

// seedEnv repeats a soak by the seed that it printed.
const seedEnv = "IMAGEJOBS_SEED"

// soak is what one run did.
type soak struct {
	uploads, runs, kills, faults, swaps, refused, restarts int
	bytes                                                  int64
}

// Uploads of random size, in random chunks, by processes that are killed at
// random moments, to a service that fails at random, whose lists lag, from a file
// that is another build of the same size and time in a third of the resumes: each
// image is merged whole, as one upload request, or not at all, and no chunk that
// was acknowledged is sent again. The long form has 200 images of 32 to 256 MiB.
func TestUploadSoak(t *testing.T) {
	t.Parallel()
	uploads, smallest, largest := 6, int64(3<<20), int64(5<<20)
	if os.Getenv(longEnv) == "1" {
		uploads, smallest, largest = 200, 32<<20, 256<<20
	}
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv(seedEnv); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("%s=%d", seedEnv, seed)
	began := time.Now()
	var total soak
	for i := range uploads {
		random := rand.New(rand.NewPCG(seed, uint64(i)))
		t.Run(fmt.Sprintf("image %d", i), func(t *testing.T) {
			total.upload(t, random, smallest+random.Int64N(largest-smallest))
		})
	}
	t.Logf("%d uploads, %d MiB, %d processes, %d killed, %d faults, %d swaps, %d refused, %d restarts, %s",
		total.uploads, total.bytes>>20, total.runs, total.kills, total.faults, total.swaps, total.refused, total.restarts,
		time.Since(began).Round(time.Second))
}

func (s *soak) upload(t *testing.T, random *rand.Rand, size int64) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "wordpress.tar.gz")
	builds := newBuilds(t, path, random, size)
	r := overTCP(t, serverOptions{oraclemarkettest.WithListLag(time.Duration(random.Int64N(int64(lag))))}, nil)
	task := r.task(path, t.TempDir())
	task.ChunkSize = size/(4+random.Int64N(30)) + 1
	task.Concurrency = 1 + random.IntN(8)
	task.Wait = 20 * time.Millisecond

	acknowledged := map[int]int{} // chunk to how often it had been received when it was
	for run := 0; ; run++ {
		require.Less(t, run, 25, "it does not come to an end")
		swapped := run > 0 && run < 7 && random.IntN(3) == 0
		if swapped {
			s.swaps++
		}
		builds.use(t, swapped)
		if run < 6 {
			for range random.IntN(4) {
				r.Inject(randomFault(random))
				s.faults++
			}
		} else {
			r.ClearFaults()
		}
		s.runs++
		p := startProcess(t, task)
		if run < 4 && random.IntN(3) > 0 {
			// Drawn here: the seed repeats it, and one goroutine draws.
			moment := time.Duration(random.Int64N(int64(200 * time.Millisecond)))
			time.AfterFunc(moment, func() { _ = p.cmd.Process.Kill() })
		}
		for range p.lines {
		}
		if p.cmd.Wait() == nil {
			break
		}
		if p.stderr.Len() == 0 {
			s.kills++
		}
		kept := keptIfAny(t, task.Checkpoints)
		u := r.current(t)
		if u != nil && u.Status == oraclemarkettest.Completed && kept == nil {
			break // killed when all was done
		}
		if strings.Contains(p.stderr.String(), "the source changed since the upload began") {
			s.refused++
			require.Zero(t, r.Processed(oraclemarkettest.OpMerge), "nothing mixed is merged")
			if !swapped {
				// It had gone on with the other build, and was killed.
				s.restarts++
				s.startOver(t, r, task)
				acknowledged = map[int]int{}
				continue
			}
		}
		if u != nil {
			for number, times := range acknowledged {
				require.Equal(t, times, u.Receipts[number], "chunk %d was sent again", number)
			}
			for _, number := range kept {
				acknowledged[number] = u.Receipts[number]
			}
		}
	}
	u := r.current(t)
	require.Equal(t, oraclemarkettest.Completed, u.Status)
	got, err := u.MD5()
	require.NoError(t, err)
	require.Contains(t, builds.sums, got, "the image is neither build, it is a mix")
	for number, times := range acknowledged {
		require.Equal(t, times, u.Receipts[number], "chunk %d was sent again", number)
	}
	require.Nil(t, keptIfAny(t, task.Checkpoints))
	for _, req := range r.Requests() {
		require.Empty(t, req.TransferEncoding)
	}
	s.uploads++
	s.bytes += size
	r.Close()
}

// startOver does what the error says.
func (s *soak) startOver(t *testing.T, r *uploadRig, task *childTask) {
	t.Helper()
	r.ClearFaults()
	_, err := r.images.DeleteEverywhere(t.Context(), r.current(t).ID)
	require.NoError(t, err)
	names, err := filepath.Glob(filepath.Join(task.Checkpoints, "*"))
	require.NoError(t, err)
	for _, name := range names {
		require.NoError(t, os.Remove(name))
	}
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

// builds are two files of one size and time with the same first and last MiB.
type builds struct {
	path   string
	middle [2][]byte
	sums   []string
	time   time.Time
}

func newBuilds(t *testing.T, path string, random *rand.Rand, size int64) *builds {
	t.Helper()
	b := &builds{path: path, time: time.Unix(1528777730, 0)}
	whole := make([]byte, size)
	source := rand.NewChaCha8([32]byte{byte(random.Uint32())})
	_, _ = source.Read(whole)
	for i := range b.middle {
		b.middle[i] = make([]byte, size-2*mib)
		_, _ = source.Read(b.middle[i])
		copy(whole[mib:], b.middle[i])
		sum := md5.Sum(whole)
		b.sums = append(b.sums, hex.EncodeToString(sum[:]))
	}
	require.NoError(t, os.WriteFile(path, whole, 0o600))
	return b
}

// use makes the file the first build or the other one.
func (b *builds) use(t *testing.T, other bool) {
	t.Helper()
	f, err := os.OpenFile(b.path, os.O_WRONLY, 0)
	require.NoError(t, err)
	i := 0
	if other {
		i = 1
	}
	_, err = io.Copy(io.NewOffsetWriter(f, mib), strings.NewReader(string(b.middle[i])))
	require.NoError(t, err)
	require.NoError(t, f.Close())
	require.NoError(t, os.Chtimes(b.path, b.time, b.time))
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
	return keptChunks(t, dir)
}

// randomFault is a transient failure of one to three requests.
func randomFault(random *rand.Rand) oraclemarkettest.Fault {
	operations := []string{
		oraclemarkettest.OpAuthenticate, oraclemarkettest.OpInitiate, oraclemarkettest.OpList, oraclemarkettest.OpUploadChunk,
		oraclemarkettest.OpUploadChunk, oraclemarkettest.OpUploadChunk, oraclemarkettest.OpMerge, oraclemarkettest.OpGet,
	}
	faults := []oraclemarkettest.Fault{
		{Status: 500}, {Status: 503, RetryAfter: "0"}, {Status: 429}, {Status: 502, Process: true},
		{Drop: oraclemarkettest.DropBefore}, {Drop: oraclemarkettest.DropDuring}, {Drop: oraclemarkettest.DropAfter},
		{Truncate: true}, {CutJSON: true}, {Body: "<html>Please log in</html>"}, {Body: `{}`}, {Early: true},
		{Delay: 50 * time.Millisecond}, {Stall: oraclemarkettest.StallResponse},
	}
	f := faults[random.IntN(len(faults))]
	f.Operation = operations[random.IntN(len(operations))]
	f.Times = 1 + random.IntN(3)
	f.Skip = random.IntN(4)
	return f
}
