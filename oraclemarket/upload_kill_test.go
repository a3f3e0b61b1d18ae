package oraclemarket_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/oraclemarket"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

// process is an upload in another process.
type process struct {
	cmd    *exec.Cmd
	lines  chan string // what it prints, closed at its end
	stderr bytes.Buffer
}

func (r *uploadRig) task(path, checkpoints string) *childTask {
	return &childTask{
		URL: r.URL, User: r.User, ID: r.ClientID, Secret: r.ClientSecret,
		Path: path, Checkpoints: checkpoints, ChunkSize: testChunk, Concurrency: 3,
	}
}

func startProcess(t *testing.T, task *childTask, env ...string) *process {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	p := &process{cmd: exec.CommandContext(t.Context(), exe), lines: make(chan string, 1000)}
	p.cmd.Env = append(append(os.Environ(), childEnv+"="+jsonText(t, task)), env...)
	p.cmd.Stderr = &p.stderr
	stdout, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	go p.read(stdout)
	return p
}

func (p *process) read(stdout io.Reader) {
	defer close(p.lines)
	scanner := bufio.NewScanner(stdout)
	for scanner.Scan() {
		p.lines <- scanner.Text()
	}
}

// kill ends the process as kill -9 does, and returns how many chunks it had
// reported.
func (p *process) kill(t *testing.T) (chunks int) {
	t.Helper()
	require.NoError(t, p.cmd.Process.Kill())
	for line := range p.lines {
		chunks = max(chunks, p.chunks(t, line))
	}
	require.Error(t, p.cmd.Wait())
	require.Empty(t, p.stderr.String(), "it ended before")
	return chunks
}

func (p *process) chunks(t *testing.T, line string) int {
	t.Helper()
	text, ok := strings.CutPrefix(line, "chunks ")
	if !ok {
		return 0
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err)
	return n
}

// requireWithin waits for something that another process brings about, for a
// little less than the faults keep it there.
func requireWithin(t *testing.T, what func() bool, msg string) {
	t.Helper()
	require.Eventually(t, what, 50*time.Second, time.Millisecond, msg)
}

// killAt is where the process is stopped short: fault keeps it there.
type killAt struct {
	name    string
	insists bool // on the first chunk in the initiate call
	fault   oraclemarkettest.Fault
	// there reports whether it has come so far.
	there func(r *uploadRig) bool
}

// killMoments are the moments at which an upload is killed: before the service
// has carried out a request, while it reads its body, and when it has carried
// it out but not responded.
func killMoments(chunks int) []killAt {
	before := func(operation string, skip int) killAt {
		return killAt{
			name:  fmt.Sprintf("%s %d arrives", operation, skip+1),
			fault: oraclemarkettest.Fault{Operation: operation, Skip: skip, Drop: oraclemarkettest.DropBefore, Delay: time.Minute, Times: -1},
			there: func(r *uploadRig) bool { return r.Count(operation) > skip },
		}
	}
	during := func(operation string, skip int) killAt {
		at := before(operation, skip)
		at.name = fmt.Sprintf("%s %d half read", operation, skip+1)
		at.fault.Drop, at.fault.Stall = 0, oraclemarkettest.StallRequestBody
		return at
	}
	after := func(operation string, skip int) killAt {
		return killAt{
			name:  fmt.Sprintf("%s %d processed", operation, skip+1),
			fault: oraclemarkettest.Fault{Operation: operation, Skip: skip, Delay: time.Minute, Times: -1},
			there: func(r *uploadRig) bool { return r.Processed(operation)+r.refusals(operation) > skip },
		}
	}
	insists := func(at killAt) killAt {
		at.name, at.insists = "insisting, "+at.name, true
		return at
	}
	const chunk = oraclemarkettest.OpUploadChunk
	return []killAt{
		// The second initiate call is the one with the first chunk.
		insists(before(oraclemarkettest.OpInitiate, 0)), insists(before(oraclemarkettest.OpInitiate, 1)),
		insists(during(oraclemarkettest.OpInitiate, 1)), insists(after(oraclemarkettest.OpInitiate, 1)), insists(after(chunk, 3)),
		before(oraclemarkettest.OpAuthenticate, 0), after(oraclemarkettest.OpAuthenticate, 0),
		before(oraclemarkettest.OpInitiate, 0), after(oraclemarkettest.OpInitiate, 0),
		before(chunk, 0), before(chunk, 1), before(chunk, chunks/2), before(chunk, chunks-1),
		during(chunk, 0), during(chunk, 2), during(chunk, chunks/2), during(chunk, chunks-1),
		after(chunk, 0), after(chunk, 3), after(chunk, chunks/2), after(chunk, chunks-2), after(chunk, chunks-1),
		before(oraclemarkettest.OpMerge, 0), after(oraclemarkettest.OpMerge, 0),
		after(oraclemarkettest.OpGet, 0), after(oraclemarkettest.OpGet, 2),
	}
}

// refusals counts the requests that the service refused with 400.
func (r *uploadRig) refusals(operation string) (n int) {
	for _, req := range r.Requests() {
		if req.Operation == operation && req.Status == http.StatusBadRequest {
			n++
		}
	}
	return n
}

// A process that is killed at any moment loses nothing but what was under way.
func TestUploadKilled(t *testing.T) {
	t.Parallel()
	const chunks = 12
	data := randomBytes(chunks*testChunk - 1)
	path := filepath.Join(t.TempDir(), "wordpress.tar.gz")
	require.NoError(t, os.WriteFile(path, data, 0o600))
	moments := killMoments(chunks)
	require.GreaterOrEqual(t, len(moments), 20)
	for _, at := range moments {
		t.Run(at.name, func(t *testing.T) {
			t.Parallel()
			// Time passes there with each reading, so that a slow machine sees
			// all states of the job, too.
			begin, readings := time.Now(), new(atomic.Int64)
			clock := func() time.Time { return begin.Add(time.Duration(readings.Add(1)) * time.Millisecond) }
			options := serverOptions{oraclemarkettest.WithJobTime(100 * time.Millisecond), oraclemarkettest.WithClock(clock)}
			if at.insists {
				options = append(options, insists())
			}
			r := overTCP(t, options, nil)
			r.Inject(at.fault)
			task := r.task(path, t.TempDir())
			p := startProcess(t, task)
			requireWithin(t, func() bool { return at.there(r) }, at.name)

			_, err := r.images.UploadFile(t.Context(), path, task.request())
			require.ErrorIs(t, err, oraclemarket.ErrCheckpointLocked, "the other process has it")
			reported := p.kill(t)
			r.ClearFaults()
			kept := keptChunks(t, task.Checkpoints)
			require.GreaterOrEqual(t, len(kept), reported, "a chunk was reported before it was kept")

			req := task.request()
			var first *oraclemarket.UploadProgress
			req.Progress = func(p oraclemarket.UploadProgress) {
				if first == nil {
					first = &p
				}
			}
			_, err = r.images.UploadFile(t.Context(), path, req)
			require.NoError(t, err)
			want := len(kept)
			if at.insists && want == 0 {
				want = 1 // it came with the initiate call
			}
			require.Equal(t, want, first.Chunks)
			u := r.only(t)
			requireImage(t, u, data)
			for _, number := range kept {
				require.Equal(t, 1, u.Receipts[number], "chunk %d was sent again", number)
			}
			if at.insists {
				require.Equal(t, 1, u.Receipts[1], "the first chunk was sent again")
			}
			require.Len(t, u.Chunks, chunks)
			left, err := os.ReadDir(task.Checkpoints)
			require.NoError(t, err)
			require.Empty(t, left)
		})
	}
}

// keptChunks are the acknowledged chunks in the only checkpoint of a folder.
func keptChunks(t *testing.T, dir string) []int {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.json"))
	require.NoError(t, err)
	require.Len(t, names, 1)
	data, err := os.ReadFile(names[0])
	require.NoError(t, err)
	return decodeState(t, data).numbers()
}

// Killed again and again, wherever it happens to be.
func TestUploadKilledAgainAndAgain(t *testing.T) {
	t.Parallel()
	const chunks = 24
	r := overTCP(t, nil, nil)
	r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpUploadChunk, Delay: 3 * time.Millisecond, Times: -1})
	// It must not come to its end before it is killed.
	r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpMerge, Delay: time.Minute, Times: -1})
	data := randomBytes(chunks * testChunk)
	path := filepath.Join(t.TempDir(), "wordpress.tar.gz")
	require.NoError(t, os.WriteFile(path, data, 0o600))
	task := r.task(path, t.TempDir())
	acknowledged := map[int]bool{}
	for _, until := range []int{1, 6, 7, 15, 23} {
		p := startProcess(t, task)
		for line := range p.lines {
			if p.chunks(t, line) >= until {
				break
			}
		}
		p.kill(t)
		for _, number := range keptChunks(t, task.Checkpoints) {
			acknowledged[number] = true
		}
		require.GreaterOrEqual(t, len(acknowledged), until)
	}
	r.ClearFaults()
	before := r.only(t).Receipts
	_, err := r.images.UploadFile(t.Context(), path, task.request())
	require.NoError(t, err)
	u := r.only(t)
	requireImage(t, u, data)
	for number := range acknowledged {
		require.Equal(t, before[number], u.Receipts[number], "chunk %d was sent again", number)
	}
}

// longEnv asks for the long form of a test.
const longEnv = "IMAGEJOBS_LONG"

// The memory of an upload does not grow with the image: 256 MiB, or 4 GiB in
// the long form, in a process of its own.
func TestUploadMemory(t *testing.T) {
	if raceDetector || runtime.GOOS != "linux" {
		t.Skip("measures a process without the race detector, on Linux")
	}
	size, limit := int64(256<<20), 32<<10 // bytes, KiB
	if os.Getenv(longEnv) == "1" {
		size = 4 << 30
	}
	path := filepath.Join(t.TempDir(), "sparse.img")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	require.NoError(t, os.Truncate(path, size))
	r := overTCP(t, serverOptions{oraclemarkettest.WithDiscard()}, nil)
	task := r.task(path, t.TempDir())
	task.ChunkSize, task.Concurrency = 0, 0
	began := time.Now()
	p := startProcess(t, task)
	peak := 0
	for line := range p.lines {
		if text, ok := strings.CutPrefix(line, "peak "); ok {
			var err error
			peak, err = strconv.Atoi(text)
			require.NoError(t, err)
		}
	}
	require.NoError(t, p.cmd.Wait(), &p.stderr)
	t.Logf("%d MiB in %s: peak of resident memory %d KiB", size>>20, time.Since(began).Round(time.Millisecond), peak)
	require.Positive(t, peak)
	require.Less(t, peak, limit)
	u := r.only(t)
	require.Equal(t, size, u.Bytes)
	require.Equal(t, oraclemarkettest.Completed, u.Status)
}
