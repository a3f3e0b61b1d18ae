package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
)

// profile shows where time and allocations go.
func (l *lab) profile() (*report, error) {
	r := newReport("Profiles")
	if err := l.profileUploads(r); err != nil {
		return nil, err
	}
	if err := l.profileAllocations(r); err != nil {
		return nil, err
	}
	return r, nil
}

// share is a function's part of a profile, without and with what it calls.
type share struct {
	function  string
	flat, cum float64
}

// top reads a profile with go tool pprof; values are as args ask for.
func (l *lab) top(args ...string) ([]share, error) {
	cmd := exec.CommandContext(l.ctx, "go", append([]string{"tool", "pprof", "-top", "-nodefraction=0", "-nodecount=100000"}, args...)...)
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("pprof: %w", err)
	}
	var list []share
	_, table, _ := strings.Cut(string(out), "flat%")
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) < 6 {
			continue
		}
		flat, flatErr := strconv.ParseFloat(strings.TrimRight(fields[0], "ms"), 64)
		cum, cumErr := strconv.ParseFloat(strings.TrimRight(fields[3], "ms"), 64)
		if err := cmp.Or(flatErr, cumErr); err != nil {
			return nil, fmt.Errorf("pprof: %q: %w", line, err)
		}
		list = append(list, share{strings.Join(fields[5:], " "), flat, cum})
	}
	return list, nil
}

func sum(list []share) float64 {
	var all float64
	for _, s := range list {
		all += s.flat
	}
	return all
}

func (l *lab) profileUploads(r *report) error {
	file, err := l.image(1<<30, true)
	if err != nil {
		return err
	}
	defer os.Remove(file)
	rounds := 5
	if l.quick {
		rounds = 1
	}
	r.add("CPU of an upload of 1 GiB, 4 chunks at once: the three functions that use the most themselves, in percent of all, %s together. "+
		"Syscalls are reading the image and writing to the sockets, gcmAesEnc is TLS. The MD5 of a chunk has to be known before its header is sent, "+
		"which costs that much. curl sends none.", times(rounds, "upload"))
	rows := [][]string{{"upload", "first", "second", "third", "all others"}}
	for _, scheme := range []struct{ name, url string }{{"plain", l.plain}, {"TLS", l.tls}} {
		for _, kind := range []string{"md5", "none"} {
			args := []string{"-unit=ms", filepath.Join(l.dir, "subject")}
			for i := range rounds {
				out := filepath.Join(l.dir, fmt.Sprintf("%s-%s-%d.cpu", scheme.name, kind, i))
				if _, err := l.child("subject", append(sdk(4, kind)(scheme.url, file), "-cpuprofile", out)...); err != nil {
					return err
				}
				args = append(args, out)
			}
			list, err := l.top(args...)
			if err != nil {
				return err
			}
			all := sum(list)
			row := []string{scheme.name + ", checksums: " + kind}
			for _, s := range list[:3] {
				row = append(row, fmt.Sprintf("%s %.0f %%", short(s.function), 100*s.flat/all))
			}
			rows = append(rows, append(row, fmt.Sprintf("%.0f %%", 100*sum(list[3:])/all)))
		}
	}
	r.table(rows)

	r.add("What the 4 goroutines of the plain one with checksums wait for, in seconds of all of them together.")
	out := filepath.Join(l.dir, "block")
	if _, err := l.child("subject", append(sdk(4, "md5")(l.plain, file), "-blockprofile", out)...); err != nil {
		return err
	}
	list, err := l.top("-unit=ms", filepath.Join(l.dir, "subject"), out)
	if err != nil {
		return err
	}
	waited := map[string]float64{}
	for _, s := range list {
		waited[short(s.function)] += s.cum / 1000
	}
	rows = [][]string{{"for", "seen in", "s"}}
	for _, row := range [][]string{
		{"a core to hash on", "oraclemarket.(*source).checksum"},
		{"the request to be sent and its response", "transport.(*attempter).send"},
		{"a lock", "sync.(*Mutex).Lock"},
	} {
		rows = append(rows, append(row, fmt.Sprintf("%.2f", waited[row[1]])))
	}
	r.table(rows)
	return nil
}

// short returns a function's name without the folders of its package.
func short(function string) string {
	name, _, _ := strings.Cut(function, " ")
	return name[strings.LastIndex(name, "/")+1:]
}

// profileAllocations reports which packages allocate in a status call.
func (l *lab) profileAllocations(r *report) error {
	services, err := l.statusCalls()
	if err != nil {
		return err
	}
	const calls = 2000
	rate := runtime.MemProfileRate
	runtime.MemProfileRate = 1
	defer func() { runtime.MemProfileRate = rate }()
	r.add("Allocations of a status call by the package that makes them, beside those by hand (net/http + encoding/json with a time limit). " +
		"Each is counted where it happens, also those that net/http makes in goroutines of its own.")
	for _, s := range services {
		found := make([]map[string]float64, 2)
		for i, call := range []func(context.Context) error{s.sdk, s.floor(timeLimit)} {
			if found[i], err = l.allocations(call, calls); err != nil {
				return fmt.Errorf("%s: %w", s.Name, err)
			}
		}
		names := slices.SortedFunc(maps.Keys(merged(found...)), func(a, b string) int {
			return cmp.Or(cmp.Compare(found[0][b], found[0][a]), cmp.Compare(found[1][b], found[1][a]), cmp.Compare(a, b))
		})
		rows := [][]string{{s.Name, "this SDK", "by hand"}}
		for _, name := range names {
			rows = append(rows, []string{name, fmt.Sprintf("%.1f", found[0][name]), fmt.Sprintf("%.1f", found[1][name])})
		}
		r.table(rows)
	}
	return nil
}

func merged(maps ...map[string]float64) map[string]float64 {
	all := map[string]float64{}
	for _, m := range maps {
		for name, n := range m {
			all[name] += n
		}
	}
	return all
}

// allocations returns the allocations per call by package. Fewer than 0.1 are
// left out.
func (l *lab) allocations(call func(context.Context) error, calls int) (map[string]float64, error) {
	var files [2]string
	for i := range files {
		for range calls {
			if err := call(l.ctx); err != nil {
				return nil, err
			}
		}
		for range 3 { // a profile is that of two collections ago
			runtime.GC()
		}
		files[i] = filepath.Join(l.dir, fmt.Sprintf("allocs-%d", i))
		f, err := os.Create(files[i])
		if err != nil {
			return nil, err
		}
		err = pprof.Lookup("allocs").WriteTo(f, 0)
		if closeErr := f.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			return nil, err
		}
	}
	list, err := l.top("-sample_index=alloc_objects", "-base="+files[0], files[1])
	if err != nil {
		return nil, err
	}
	found := map[string]float64{}
	for _, s := range list {
		found[packageOf(s.function)] += s.flat / float64(calls)
	}
	delete(found, "runtime/pprof") // the profile's own
	maps.DeleteFunc(found, func(_ string, n float64) bool { return n < 0.1 })
	return found, nil
}

// packageOf returns the package of a function, without the module if it is the
// SDK's.
func packageOf(function string) string {
	folder := strings.LastIndex(strings.SplitN(function, "[", 2)[0], "/") + 1
	name, _, _ := strings.Cut(function[folder:], ".")
	return strings.TrimPrefix(function[:folder]+name, "github.com/imagejobs/imagejobs-go/")
}
