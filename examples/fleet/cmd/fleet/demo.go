package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/imagejobs/imagejobs-go/examples/fleet/workflows"
	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

// The images of the demo, and how long the service takes for a chunk.
const (
	demoImages    = 10
	demoImageSize = 16 << 20
	demoChunkSize = 1 << 20
	demoChunks    = demoImages * demoImageSize / demoChunkSize
	demoChunkTime = 200 * time.Millisecond
)

func demoCommand(p *program) *cli.Command {
	return &cli.Command{
		Help: "\nTen images are uploaded over three worker processes to the built-in service. One\nworker is killed on the way.\n",
		Do: func(ctx context.Context, out *cli.Output) error {
			ctx, cancel := context.WithTimeout(ctx, 30*time.Minute) // with the building of the server
			defer cancel()
			p.out, out.Demo = out, true
			return p.demo(ctx)
		},
	}
}

func (p *program) demo(ctx context.Context) error {
	service, stop, err := p.services() //nolint:contextcheck // they run until stop
	if err != nil {
		return err
	}
	defer stop()
	service.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpUploadChunk, Delay: demoChunkTime, Times: -1})
	dir, err := os.MkdirTemp("", "fleet-demo-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	temporal, err := p.startTemporal(ctx, filepath.Join(dir, "temporal.db"), 0, 0)
	if err != nil {
		return err
	}
	defer temporal.Stop()
	defer p.client.Close()
	var workers []*exec.Cmd
	defer func() {
		for _, w := range workers {
			kill(w)
		}
	}()
	for range 3 {
		w, err := startWorker(p.stderr, nil)
		if err != nil {
			return err
		}
		workers = append(workers, w)
		p.out.Line("worker %d runs", w.Process.Pid)
	}
	in, err := demoFleet(dir)
	if err != nil {
		return err
	}
	run, err := p.start(ctx, in, false)
	if err != nil {
		return err
	}
	for received(service) < demoChunks/4 && ctx.Err() == nil {
		time.Sleep(50 * time.Millisecond) //nolint:forbidigo // it is polled
	}
	kill(workers[1])
	p.out.Line("killed worker %d with a quarter of the chunks uploaded", workers[1].Process.Pid)
	if err := p.follow(ctx, run); err != nil {
		return err
	}
	return p.report(service)
}

// demoFleet writes the images.
func demoFleet(dir string) (*workflows.PublishFleetInput, error) {
	in := &workflows.PublishFleetInput{Name: "demo"}
	data := make([]byte, demoImageSize)
	for i := range demoImages {
		_, _ = rand.Read(data)
		path := filepath.Join(dir, fmt.Sprintf("image-%02d.tar.gz", i+1))
		if err := os.WriteFile(path, data, 0o600); err != nil {
			return nil, err
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
func (p *program) report(service *oraclemarkettest.Server) error {
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
	p.out.Emit(cli.Event{Event: cli.Result}, "nothing was lost: %d upload requests for %d images, all Completed;\n"+
		"of %d chunks %d were in flight and sent twice", completed, demoImages, demoChunks, twice)
	return nil
}

// startWorker starts this program as a worker, with more of the environment.
func startWorker(stderr io.Writer, env []string, args ...string) (*exec.Cmd, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	w := exec.Command(program, append([]string{"worker"}, args...)...) //nolint:gosec,noctx // itself; kill ends it
	w.Env, w.Stderr = append(os.Environ(), env...), stderr
	err = w.Start()
	return w, err
}

// kill ends a process as kill -9 does.
func kill(c *exec.Cmd) {
	_ = c.Process.Kill()
	_ = c.Wait()
}
