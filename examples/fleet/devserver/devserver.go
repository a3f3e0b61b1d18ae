// Package devserver runs Temporal's development server on a loopback port, for
// demos, laptops and tests. It is no server for production.
package devserver

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"

	"github.com/imagejobs/imagejobs-go/examples/fleet/workflows"
)

// ErrMissing is returned by [Find] if there is no server yet.
var ErrMissing = errors.New("Temporal's development server is not there: " + //nolint:staticcheck // a name
	"build it once with go run ./cmd/fleet server, which takes 5 to 10 minutes")

// Find returns the path of the server: the one that [Build] made, or a temporal
// in the PATH.
func Find() (string, error) {
	if path, _, err := cached(); err == nil {
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	if path, err := exec.LookPath("temporal"); err == nil {
		return path, nil
	}
	return "", ErrMissing
}

// Build returns what [Find] does. If there is no server yet it builds the one that
// the module in the folder tools pins; what go build prints goes to output.
func Build(ctx context.Context, output io.Writer) (string, error) {
	if path, err := Find(); err == nil {
		return path, nil
	}
	path, tools, err := cached()
	if err != nil {
		return "", fmt.Errorf("there is no temporal in the PATH, nor the source to build it from: %w", err)
	}
	_, _ = fmt.Fprintln(output, "building Temporal's development server: 5 to 10 minutes, once")
	part := path + "." + strconv.Itoa(os.Getpid())
	build := exec.CommandContext(ctx, "go", "build", "-o", part, "github.com/temporalio/cli/cmd/temporal") //nolint:gosec // a path in the cache
	build.Dir, build.Stdout, build.Stderr = tools, output, output
	if err := build.Run(); err != nil {
		return "", fmt.Errorf("building Temporal's development server: %w", err)
	}
	return path, os.Rename(part, path) // others see all of it or nothing
}

// cached returns the path of the binary in the cache of the user, and the folder
// of the module that it is built from.
func cached() (path, tools string, err error) {
	_, source, _, _ := runtime.Caller(0) //nolint:dogsled // the file alone
	tools = filepath.Join(filepath.Dir(source), "..", "tools")
	sums, err := os.ReadFile(filepath.Join(tools, "go.sum"))
	if err != nil {
		return "", "", err
	}
	cache, err := os.UserCacheDir()
	return filepath.Join(cache, "imagejobs-fleet", fmt.Sprintf("temporal-%x", sha256.Sum256(sums))[:25]), tools, err
}

// Server is a running server.
type Server struct {
	Address string // of its gRPC port
	Process *os.Process
	Ended   chan struct{} // closed when the process has ended
}

var errEnded = errors.New("it ended at once")

// Start starts a server at a port of 127.0.0.1, 0 for a free one, and returns
// when it serves, within 30 seconds. The database is a file, which a later server
// can go on with. The web pages are at the port ui, 0 for none. The search
// attributes of package workflows are registered.
func Start(ctx context.Context, binary, database string, port, ui int) (s *Server, err error) {
	for try := 1; ; try++ {
		s, err = start(ctx, binary, database, port, ui)
		if err == nil {
			return s, nil
		}
		if !errors.Is(err, errEnded) || try == 3 {
			return nil, fmt.Errorf("starting Temporal's development server: %w", err)
		}
		// Another process may have taken one of its ports in between.
	}
}

func start(ctx context.Context, binary, database string, port, ui int) (*Server, error) {
	// Whatever else serves at the port would be taken for this server.
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return nil, err
	}
	address, _ := listener.Addr().(*net.TCPAddr)
	_ = listener.Close()
	args := []string{
		"server", "start-dev", "--ip", "127.0.0.1", "--port", strconv.Itoa(address.Port), "--ui-port", strconv.Itoa(ui),
		"--headless=" + strconv.FormatBool(ui == 0), "--db-filename", database, "--log-level", "never",
	}
	for _, a := range []temporal.SearchAttributeKey{workflows.StateAttribute, workflows.DoneAttribute, workflows.FailedAttribute} {
		args = append(args, "--search-attribute", a.GetName()+"="+a.GetValueType().String())
	}
	command := exec.Command(binary, args...) //nolint:gosec,noctx // the caller's binary, which Stop ends gently
	command.Stderr = os.Stderr
	detach(command)
	if err := command.Start(); err != nil {
		return nil, err
	}
	s := &Server{Address: address.String(), Process: command.Process, Ended: make(chan struct{})}
	go func() {
		_ = command.Wait() // it ends with Stop or Kill
		close(s.Ended)
	}()
	if err := s.serves(ctx); err != nil {
		s.Kill()
		return nil, err
	}
	return s, nil
}

// serves waits until the server does.
func (s *Server) serves(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		c, err := client.DialContext(ctx, client.Options{HostPort: s.Address, Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler))})
		if err == nil {
			c.Close()
			return nil
		}
		select {
		case <-s.Ended:
			return errEnded
		case <-ctx.Done():
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Stop ends the server, at the latest after 10 seconds.
func (s *Server) Stop() {
	_ = s.Process.Signal(os.Interrupt)
	select {
	case <-s.Ended:
	case <-time.After(10 * time.Second):
		s.Kill()
	}
}

// Kill ends the server at once. What is in its database stays.
func (s *Server) Kill() {
	_ = s.Process.Kill()
	<-s.Ended
}
