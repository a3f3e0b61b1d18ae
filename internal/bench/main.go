// Command bench measures this SDK beside its peers, over loopback:
//
//	go run . [-only status,upload,sources,lfn,interrupt,wait,resume,redact,profile] [-quick] [-results dir]
//
// It prints tables, and writes them and plots to the folder results; with
// -quick only to a folder that is named. The contenders of a table take turns,
// so that other load on the machine affects all of them alike: compare the
// ratios. It runs on Linux only, as it reads /proc.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// lab has what the measurements share.
type lab struct {
	ctx   context.Context
	quick bool
	dir   string // of the binaries and the images, removed at the end
	plain string // URL of the sink
	tls   string
	cert  string // file with the sink's certificate
}

func main() {
	log.SetFlags(0)
	if err := run(); err != nil {
		log.Fatal("bench: ", err)
	}
}

func run() error {
	only := flag.String("only", "status,upload,sources,lfn,interrupt,wait,resume,redact,profile", "what to measure")
	quick := flag.Bool("quick", false, "less of everything, in under three minutes; writes no file without -results")
	results := flag.String("results", "", `folder for tables and plots ("results", without -quick)`)
	flag.Parse()
	if *results == "" && !*quick {
		*results = "results"
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()

	dir, err := os.MkdirTemp("", "imagejobs-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	l := &lab{ctx: ctx, quick: *quick, dir: dir, cert: filepath.Join(dir, "sink.pem")}
	build := exec.CommandContext(ctx, "go", "build", "-o", dir, "./sink", "./subject", "./peers")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("build: %w", err)
	}
	end, err := l.startSink()
	if err != nil {
		return err
	}
	defer end()

	measure := map[string]func() (*report, error){
		"status": l.status, "upload": l.upload, "sources": l.sources, "lfn": l.lfn, "interrupt": l.interrupt, "wait": l.wait, "resume": l.resume, "redact": l.redact, "profile": l.profile,
	}
	for name := range strings.SplitSeq(*only, ",") {
		f, ok := measure[name]
		if !ok {
			return fmt.Errorf("-only: %q is none of status, upload, sources, lfn, interrupt, wait, resume, redact, profile", name)
		}
		start := time.Now()
		r, err := f()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		r.add("Command: `%s`, %d cores, Linux, %s, %s, took %.0f s.", command(name, *quick), runtime.NumCPU(), goVersion(), time.Now().Format(time.DateOnly), time.Since(start).Seconds())
		fmt.Println(r.text.String())
		if *results == "" {
			continue
		}
		if err := r.write(*results, name); err != nil {
			return err
		}
	}
	return nil
}

func command(name string, quick bool) string {
	if quick {
		return "go run . -only " + name + " -quick"
	}
	return "go run . -only " + name
}
