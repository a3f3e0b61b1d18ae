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
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

// seedEnv repeats a soak by the seed that it printed.
const seedEnv = "IMAGEJOBS_SEED"

// soak is what one run did.
type soak struct {
	uploads, runs, kills, faults int
	bytes                        int64
}

// Uploads of random size, in random chunks, by processes that are killed at
// random moments, to a service that fails at random: each image arrives
// whole, as one upload request, and no chunk that a process had acknowledged is
// sent again. The long form has 200 images of 32 to 256 MiB.
func TestUploadSoak(t *testing.T) {
	t.Parallel()
	uploads, smallest, largest := 6, int64(256<<10), int64(2<<20)
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
	t.Logf("%d uploads, %d MiB, %d processes, %d killed, %d faults, %s",
		total.uploads, total.bytes>>20, total.runs, total.kills, total.faults, time.Since(began).Round(time.Second))
}

func (s *soak) upload(t *testing.T, random *rand.Rand, size int64) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "wordpress.tar.gz")
	sum := writeRandom(t, path, random, size)
	r := overTCP(t, nil, nil)
	task := r.task(path, t.TempDir())
	task.ChunkSize = size/(4+random.Int64N(30)) + 1
	task.Concurrency = 1 + random.IntN(8)
	task.Wait = 20 * time.Millisecond

	acknowledged := map[int]int{} // chunk to how often it had been received when it was
	for run := 0; ; run++ {
		require.Less(t, run, 20, "it does not come to an end")
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
		requests := r.Uploads()
		require.LessOrEqual(t, len(requests), 1)
		kept := keptIfAny(t, task.Checkpoints)
		if len(requests) == 1 && requests[0].Status == oraclemarkettest.Completed && kept == nil {
			break // killed when all was done
		}
		for _, u := range requests {
			for number, times := range acknowledged {
				require.Equal(t, times, u.Receipts[number], "chunk %d was sent again", number)
			}
			for _, number := range kept {
				acknowledged[number] = u.Receipts[number]
			}
		}
	}
	u := r.only(t)
	require.Equal(t, oraclemarkettest.Completed, u.Status)
	got, err := u.MD5()
	require.NoError(t, err)
	require.Equal(t, sum, got)
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

// randomFault is a failure of a passing kind of one to three requests.
func randomFault(random *rand.Rand) oraclemarkettest.Fault {
	operations := []string{
		oraclemarkettest.OpAuthenticate, oraclemarkettest.OpInitiate, oraclemarkettest.OpList, oraclemarkettest.OpUploadChunk,
		oraclemarkettest.OpUploadChunk, oraclemarkettest.OpUploadChunk, oraclemarkettest.OpMerge, oraclemarkettest.OpGet,
	}
	faults := []oraclemarkettest.Fault{
		{Status: 500}, {Status: 503, RetryAfter: "0"}, {Status: 429}, {Status: 502, Process: true},
		{Drop: oraclemarkettest.DropBefore}, {Drop: oraclemarkettest.DropDuring}, {Drop: oraclemarkettest.DropAfter},
		{Truncate: true}, {CutJSON: true}, {Body: "<html>Please log in</html>"}, {Delay: 50 * time.Millisecond},
		{Stall: oraclemarkettest.StallResponse},
	}
	f := faults[random.IntN(len(faults))]
	f.Operation = operations[random.IntN(len(operations))]
	f.Times = 1 + random.IntN(3)
	f.Skip = random.IntN(4)
	return f
}

// writeRandom makes a file of random bytes and returns its MD5 in hex.
func writeRandom(t *testing.T, path string, random *rand.Rand, size int64) string {
	t.Helper()
	var seed [32]byte
	for i := range seed {
		seed[i] = byte(random.Uint32())
	}
	f, err := os.Create(path)
	require.NoError(t, err)
	h := md5.New()
	_, err = io.CopyN(io.MultiWriter(f, h), rand.NewChaCha8(seed), size)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	return hex.EncodeToString(h.Sum(nil))
}
