package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// goVersion returns the release without its patch number.
func goVersion() string {
	version := strings.TrimPrefix(runtime.Version(), "go")
	if parts := strings.SplitN(version, ".", 3); len(parts) == 3 {
		version = parts[0] + "." + parts[1]
	}
	return fmt.Sprintf("Go %s, GOMAXPROCS %d", version, runtime.GOMAXPROCS(0))
}

// startSink starts the server. end stops it.
func (l *lab) startSink() (end func(), err error) {
	cmd := exec.CommandContext(l.ctx, filepath.Join(l.dir, "sink"), l.cert)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe() // it ends with its input
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("start the sink: %w", err)
	}
	plain, secure, _ := strings.Cut(strings.TrimSpace(line), " ")
	l.plain, l.tls = "http://"+plain, "https://"+secure
	return func() {
		_ = in.Close()
		_ = cmd.Wait()
	}, nil
}

// usage is what one process used.
type usage struct {
	wall, cpu time.Duration // cpu is user and system time
	peak      int64         // most bytes resident
	out       []byte
}

// child runs a program to its end.
func (l *lab) child(name string, args ...string) (*usage, error) {
	if path := filepath.Join(l.dir, name); name != "curl" {
		name = path
	}
	var out, fail bytes.Buffer
	cmd := exec.CommandContext(l.ctx, name, args...)
	cmd.Stdout, cmd.Stderr = &out, &fail
	cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+l.cert)
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	done := make(chan struct{})
	peak := make(chan int64)
	go func() { peak <- watchPeak(cmd.Process.Pid, done) }()
	err := cmd.Wait()
	u := &usage{wall: time.Since(start)}
	close(done)
	u.peak = <-peak
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w: %s", filepath.Base(name), strings.Join(args, " "), err, fail.Bytes())
	}
	u.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	u.out = out.Bytes()
	return u, nil
}

// watchPeak returns the high-water mark of a process's memory. The one in its
// rusage is useless: a new process starts with that of its parent.
func watchPeak(pid int, done <-chan struct{}) int64 {
	var peak int64
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return peak
		case <-tick.C:
		}
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(status)) {
			if kib, ok := strings.CutPrefix(line, "VmHWM:"); ok {
				n, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(kib), "kB")), 10, 64)
				peak = max(peak, n<<10)
			}
		}
	}
}

// freeMemory returns the bytes that programs can still take.
func freeMemory() (int64, error) {
	info, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(info)) {
		var kib int64
		if _, err := fmt.Sscanf(line, "MemAvailable: %d kB", &kib); err == nil {
			return kib << 10, nil
		}
	}
	return 0, errors.New("no MemAvailable in /proc/meminfo")
}

// subject runs one measurement of the SDK in a process of its own and decodes
// its findings.
func (l *lab) subject(found any, args ...string) (*usage, error) {
	u, err := l.child("subject", args...)
	if err != nil {
		return nil, err
	}
	return u, json.Unmarshal(u.out, found)
}

// image makes a sparse file and reads it once, so that the first contender
// does not pay for filling the cache.
func (l *lab) image(size int64, warm bool) (string, error) {
	name := filepath.Join(l.dir, fmt.Sprintf("image-%d", size))
	f, err := os.Create(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		return "", err
	}
	if warm {
		_, err = io.Copy(io.Discard, struct{ io.Reader }{f})
	}
	return name, err
}

// costs returns the median CPU time of f in microseconds, of rounds that take
// at least so long.
func costs(rounds int, least time.Duration, f func()) float64 {
	measure := func(calls int) time.Duration {
		before := cpuTime()
		for range calls {
			f()
		}
		return cpuTime() - before
	}
	calls := 1
	for measure(calls) < least {
		calls *= 2
	}
	found := make([]float64, rounds)
	for i := range found {
		found[i] = float64(measure(calls).Nanoseconds()) / 1e3 / float64(calls)
	}
	return median(found)
}

// allocatedBy returns the bytes that f allocates.
func allocatedBy(f func()) float64 {
	const calls = 20
	var before, now runtime.MemStats
	runtime.ReadMemStats(&before)
	for range calls {
		f()
	}
	runtime.ReadMemStats(&now)
	return float64(now.TotalAlloc-before.TotalAlloc) / calls
}
