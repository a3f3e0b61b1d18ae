// Command bench measures this SDK beside its peers, on this machine, over
// loopback, and nothing it does leaves it:
//
//	go run . [-only status,upload,lfn,wait,resume,profile] [-quick]
//
// It prints tables, and writes them and plots to the folder results. The
// contenders of a table take turns, so that whatever else the machine does
// meets all of them; what counts are the ratios. Linux only: it reads /proc.
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
	"strings"
	"time"
)

// lab is what the measurements share.
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
	only := flag.String("only", "status,upload,lfn,wait,resume,profile", "what to measure")
	quick := flag.Bool("quick", false, "less of everything, in under three minutes")
	results := flag.String("results", "results", "folder for tables and plots")
	flag.Parse()
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

	if err := os.MkdirAll(*results, 0o755); err != nil {
		return err
	}
	measure := map[string]func() (*report, error){
		"status": l.status, "upload": l.upload, "lfn": l.lfn, "wait": l.wait, "resume": l.resume, "profile": l.profile,
	}
	for name := range strings.SplitSeq(*only, ",") {
		f, ok := measure[name]
		if !ok {
			return fmt.Errorf("-only: %q is none of status, upload, lfn, wait, resume, profile", name)
		}
		start := time.Now()
		r, err := f()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		r.add("Command: `%s`, 2 cores, Linux, %s, %s, took %.0f s.", command(name, *quick), goVersion(), time.Now().Format(time.DateOnly), time.Since(start).Seconds())
		fmt.Println(r.text.String())
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
