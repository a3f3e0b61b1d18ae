//go:build linux

package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"

	"github.com/imagejobs/imagejobs-go/examples/fleet/workflows"
	"github.com/imagejobs/imagejobs-go/oraclemarket"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

// TestBench measures what the README says, which takes four minutes:
//
//	IMAGEJOBS_FLEET_BENCH=1 go test ./cmd/fleet -run TestBench -v -timeout 30m
func TestBench(t *testing.T) {
	if os.Getenv("IMAGEJOBS_FLEET_BENCH") == "" {
		t.Skip("IMAGEJOBS_FLEET_BENCH is not set")
	}
	load, err := os.ReadFile("/proc/loadavg")
	require.NoError(t, err)
	t.Logf("%d cores, %s, load %s", runtime.NumCPU(), runtime.Version(), load)
	t.Run("Overhead", benchOverhead)
	t.Run("Fifty", benchFifty)
	t.Run("Parts", benchParts)
}

const benchLimit = 10 * time.Minute

// benchOverhead uploads images of 256 MiB one after the other, directly and as
// workflows, in turns.
func benchOverhead(t *testing.T) {
	const size, rounds = 256 << 20, 9
	for _, speed := range []float64{0, 100 << 20} { // of the line
		service := discarding(t)
		r := newRig(t, benchLimit, service.Env())
		r.workerOn(line(t, service, speed))
		client := service.Client(oraclemarket.WithBaseURL(line(t, service, speed)))
		var direct, fleet []time.Duration
		in := image(t, size, 0, 0)
		for round := range rounds {
			in.Version = fmt.Sprintf("direct %d", round)
			began := time.Now()
			_, err := client.MachineImages.UploadFile(r.ctx, in.Source, &oraclemarket.ImageUpload{
				Application: in.Application, Version: in.Version, OperatingSystem: in.OperatingSystem,
				Checkpoints: oraclemarket.FileCheckpoints(t.TempDir()),
			})
			require.NoError(t, err)
			direct = append(direct, time.Since(began))

			in.Version = fmt.Sprintf("fleet %d", round)
			began = time.Now()
			run := r.run(in)
			require.NoError(t, run.Get(r.ctx, nil))
			fleet = append(fleet, time.Since(began))
			if round == 0 {
				t.Logf("%d events", r.events(run.GetID()))
			}
		}
		d, f := median(direct), median(fleet)
		t.Logf("line %s: direct %v, fleet %v: %+.1f %% (medians of %d)", mib(speed), d.Round(time.Millisecond), f.Round(time.Millisecond),
			100*(f.Seconds()/d.Seconds()-1), rounds)
	}
}

// benchFifty uploads fifty images over one, two and three workers, each with a
// line of its own.
func benchFifty(t *testing.T) {
	const images, size, speed = 50, 32 << 20, 50 << 20
	for workers := 1; workers <= 3; workers++ {
		service := discarding(t)
		r := newRig(t, benchLimit, service.Env())
		for range workers {
			r.workerOn(line(t, service, speed))
		}
		in := &workflows.PublishFleetInput{Name: "fifty", MaxRunning: images}
		one := image(t, size, 8<<20, 0)
		for i := range images {
			upload := *one
			upload.Version = strconv.Itoa(i)
			in.Images = append(in.Images, workflows.FleetImage{Upload: &upload})
		}
		before, began := cpu(t, r.temporal.Process.Pid), time.Now()
		run := r.run(in)
		require.NoError(t, run.Get(r.ctx, nil))
		took := time.Since(began)
		engine := cpu(t, r.temporal.Process.Pid) - before
		var events []int64
		for _, i := range in.Images {
			events = append(events, r.events(workflows.UploadID(*i.Upload)))
		}
		t.Logf("%d workers: %v, %d requests, engine %v of CPU, at most %d events per image, %d of the fleet", workers,
			took.Round(100*time.Millisecond), len(service.Requests()), engine.Round(10*time.Millisecond), slices.Max(events), r.events(run.GetID()))
	}
}

// benchParts uploads an image of 4 GiB over one worker and over three, each with
// a line of its own.
func benchParts(t *testing.T) {
	const size, speed = 4 << 30, 100 << 20
	path := filepath.Join(t.TempDir(), "image.tar.gz")
	file, err := os.Create(path)
	require.NoError(t, err)
	require.NoError(t, file.Truncate(size))
	require.NoError(t, file.Close())
	took := map[int]time.Duration{}
	for _, workers := range []int{1, 3} {
		service := discarding(t)
		r := newRig(t, benchLimit, service.Env())
		for range workers {
			r.workerOn(line(t, service, speed), "-transfers", "1")
		}
		in := &workflows.UploadImageInput{
			Application: "Game", Version: "1.0", OperatingSystem: "Linux", Source: path, ChunkSize: 16 << 20, Parts: workers,
		}
		began := time.Now()
		run := r.run(in)
		require.NoError(t, run.Get(r.ctx, nil))
		took[workers] = time.Since(began)
		require.Len(t, service.Uploads(), 1)
		t.Logf("%d workers: %v, %.0f MiB/s, %d events", workers, took[workers].Round(100*time.Millisecond),
			(size>>20)/took[workers].Seconds(), r.events(run.GetID()))
	}
	t.Logf("three workers are %.2f times as fast as one", took[1].Seconds()/took[3].Seconds())
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}

func mib(speed float64) string {
	if speed == 0 {
		return "not shaped"
	}
	return fmt.Sprintf("of %.0f MiB/s", speed/(1<<20))
}

// cpu returns the CPU time of a process so far.
func cpu(t *testing.T, pid int) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	require.NoError(t, err)
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')'):]))
	var user, system int64
	_, err = fmt.Sscan(fields[12]+" "+fields[13], &user, &system)
	require.NoError(t, err)
	return time.Duration(user+system) * time.Second / 100
}

func discarding(t *testing.T) *oraclemarkettest.Server {
	t.Helper()
	return oracleServer(t, oraclemarkettest.WithDiscard(), oraclemarkettest.WithJobTime(0))
}

// workerOn starts a worker that reaches the service at a URL.
func (r *rig) workerOn(url string, args ...string) {
	r.t.Helper()
	env := r.env
	r.env = append(slices.Clone(env), "ORACLE_MARKETPLACE_ENDPOINT="+url)
	r.worker(args...)
	r.env = env
}

// line returns the URL of the service over a line of its own, of so many bytes a
// second for all connections together. 0 is the service's own URL.
func line(t *testing.T, service *oraclemarkettest.Server, speed float64) string {
	t.Helper()
	if speed == 0 {
		return service.URL
	}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	limiter := rate.NewLimiter(rate.Limit(speed), 1<<20)
	go func() {
		for {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("tcp", strings.TrimPrefix(service.URL, "http://"))
			if err != nil {
				_ = from.Close()
				continue
			}
			go pump(from, to, nil)
			go pump(to, from, limiter)
		}
	}()
	return "http://" + listener.Addr().String()
}

// pump copies from one connection to the other, at most as fast as the limiter.
func pump(to, from net.Conn, limiter *rate.Limiter) {
	defer func() { _, _ = to.Close(), from.Close() }()
	data := make([]byte, 256<<10)
	for {
		n, err := from.Read(data)
		if limiter != nil {
			_ = limiter.WaitN(context.Background(), n)
		}
		if _, failed := to.Write(data[:n]); err != nil || failed != nil {
			return
		}
	}
}
