package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/imagejobs/imagejobs-go/examples/fleet/devserver"
	"github.com/imagejobs/imagejobs-go/examples/fleet/workflows"
	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

// The images of the demo, and how long the service takes for a chunk.
const (
	demoImages    = 10
	demoImageSize = 16 << 20
	demoChunkSize = 1 << 20
	demoChunkTime = 200 * time.Millisecond
)

func demoCommand(stderr io.Writer) *cli.Command {
	return &cli.Command{
		Help: "\nTen images are uploaded over three worker processes to the built-in service. One\nworker is killed on the way.\n",
		Do:   func(ctx context.Context, out *cli.Output) error { return demo(ctx, out, stderr) },
	}
}

func demo(ctx context.Context, out *cli.Output, stderr io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Minute) // with the building of the server
	defer cancel()
	out.Demo = true
	service := oraclemarkettest.NewServer()
	defer service.Close()
	service.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpUploadChunk, Delay: demoChunkTime, Times: -1})
	out.Begin(service.URL)
	dir, err := os.MkdirTemp("", "fleet-demo-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	temporal, err := startServer(ctx, out, stderr, devserver.Options{Database: filepath.Join(dir, "temporal.db")})
	if err != nil {
		return err
	}
	defer temporal.Stop()
	if err := os.Setenv(addressVariable, temporal.Address); err != nil {
		return err
	}
	f, err := dial(ctx, out)
	if err != nil {
		return err
	}
	defer f.client.Close()

	var workers []*process
	defer func() {
		for _, w := range workers {
			w.kill()
		}
	}()
	for range 3 {
		w, err := startWorker(ctx, stderr, service.Env())
		if err != nil {
			return err
		}
		workers = append(workers, w)
		out.Line("worker %d runs", w.Process.Pid)
	}
	in, err := demoFleet(dir)
	if err != nil {
		return err
	}
	run, err := f.start(ctx, workflows.FleetID(in), workflows.PublishFleet, in, false)
	if err != nil {
		return err
	}
	killed := make(chan struct{})
	go func() {
		defer close(killed)
		for received(service) < demoImages*demoImageSize/demoChunkSize/4 && ctx.Err() == nil {
			time.Sleep(50 * time.Millisecond) //nolint:forbidigo // it is polled
		}
		workers[1].kill()
		out.Line("killed worker %d with a quarter of the chunks uploaded", workers[1].Process.Pid)
	}()
	err = f.follow(ctx, run)
	cancel()
	<-killed
	if err != nil {
		return err
	}
	return report(out, service)
}

// demoFleet writes the images.
func demoFleet(dir string) (workflows.PublishFleetInput, error) {
	in := workflows.PublishFleetInput{Name: "demo"}
	for i := range demoImages {
		data := make([]byte, demoImageSize)
		_, _ = rand.Read(data)
		path := filepath.Join(dir, fmt.Sprintf("image-%02d.tar.gz", i+1))
		if err := os.WriteFile(path, data, 0o600); err != nil {
			return in, err
		}
		in.Images = append(in.Images, workflows.FleetImage{Upload: &workflows.UploadImageInput{
			Application: "demo", Version: fmt.Sprintf("1.%d", i+1), OperatingSystem: "Linux", Source: path, ChunkSize: demoChunkSize,
		}})
	}
	return in, nil
}

func received(service *oraclemarkettest.Server) (chunks int) {
	for _, u := range service.Uploads() {
		chunks += len(u.Chunks)
	}
	return chunks
}

// report compares what the service has with what was sent.
func report(out *cli.Output, service *oraclemarkettest.Server) error {
	completed, twice := 0, 0
	for _, u := range service.Uploads() {
		if u.Status == oraclemarkettest.Completed && u.Bytes == demoImageSize {
			completed++
		}
		for _, n := range u.Receipts {
			twice += n - 1
		}
	}
	if n := len(service.Uploads()); n != demoImages || completed != demoImages {
		return fmt.Errorf("of %d images there are %d upload requests, %d of them complete", demoImages, n, completed)
	}
	out.Emit(cli.Event{Event: cli.Result}, "nothing was lost: %d upload requests for %d images, all Completed; of %d chunks %d were in flight and sent twice",
		completed, demoImages, demoImages*demoImageSize/demoChunkSize, twice)
	return nil
}

// process is a worker in a process of its own.
type process struct {
	*exec.Cmd
	ended chan struct{}
}

// startWorker starts this program as a worker, with more of the environment.
func startWorker(ctx context.Context, stderr io.Writer, env []string, args ...string) (*process, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{Cmd: exec.Command(program, append([]string{"worker"}, args...)...), ended: make(chan struct{})} //nolint:gosec,noctx // itself; kill ends it
	p.Env, p.Stderr = append(os.Environ(), env...), stderr
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := p.Start(); err != nil {
		return nil, errors.Join(errors.New("starting a worker"), err)
	}
	go func() {
		_ = p.Wait() // it was killed
		close(p.ended)
	}()
	return p, nil
}

// kill ends it as kill -9 does.
func (p *process) kill() {
	_ = p.Process.Kill()
	<-p.ended
}
