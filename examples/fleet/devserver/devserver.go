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
	"strconv"
	"strings"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
)

// ErrMissing is returned by [Find] if there is no server yet.
var ErrMissing = errors.New("Temporal's development server is not there: " + //nolint:staticcheck // a name
	"build it once with go run ./cmd/fleet server, which takes 5 to 10 minutes")

// Find returns the path of the server: the one that [Build] made, or a temporal
// in the PATH.
func Find(ctx context.Context) (string, error) {
	if path, _, err := cached(ctx); err == nil {
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	if path, err := exec.LookPath("temporal"); err == nil {
		return path, nil
	}
	return "", ErrMissing
}

// Build builds the server that the module in the folder tools pins, unless that
// was done before, and returns its path. What go build prints goes to output.
func Build(ctx context.Context, output io.Writer) (string, error) {
	path, tools, err := cached(ctx)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
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
func cached(ctx context.Context) (path, tools string, err error) {
	dir, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/imagejobs/imagejobs-go/examples/fleet").Output()
	if err != nil {
		return "", "", fmt.Errorf("there is no temporal in the PATH, and it can be built only in the folder of this module: go list: %w", err)
	}
	tools = filepath.Join(strings.TrimSpace(string(dir)), "tools")
	sums, err := os.ReadFile(filepath.Join(tools, "go.sum"))
	if err != nil {
		return "", "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", "", err
	}
	return filepath.Join(cache, "imagejobs-fleet", fmt.Sprintf("temporal-%x", sha256.Sum256(sums))[:25]), tools, nil
}

// Server is a running server.
type Server struct {
	Address string // of its gRPC port
	UI      string // URL of its web pages, if it has them
	Process *os.Process

	ended chan struct{} // closed when the process has
}

// Options say how to run a server.
type Options struct {
	Binary string
	// Database is a file, which a later server can go on with. Without one
	// everything is in memory.
	Database string
	Port     int  // of 127.0.0.1; 0 takes a free one
	UI       bool // serve web pages on the port above by 1000
	// SearchAttributes are registered, with their types.
	SearchAttributes map[string]string
	Log              io.Writer // for errors; nil discards them
}

// Start starts a server and returns when it serves, within 30 seconds.
func Start(ctx context.Context, o Options) (*Server, error) {
	if o.Port != 0 {
		return start(ctx, o)
	}
	for try := 1; ; try++ {
		var err error
		if o.Port, err = freePort(ctx); err != nil {
			return nil, err
		}
		s, err := start(ctx, o)
		if !errors.Is(err, errEnded) || try == 3 {
			return s, err
		}
		// Another process may have taken the port in between.
	}
}

// errEnded is that the process ended instead of serving.
var errEnded = errors.New("it ended at once")

func start(ctx context.Context, o Options) (*Server, error) {
	args := []string{"server", "start-dev", "--ip", "127.0.0.1", "--port", strconv.Itoa(o.Port), "--log-level", "error"}
	if o.Database != "" {
		args = append(args, "--db-filename", o.Database)
	}
	if !o.UI {
		args = append(args, "--headless")
	}
	for name, kind := range o.SearchAttributes {
		args = append(args, "--search-attribute", name+"="+kind)
	}
	command := exec.Command(o.Binary, args...) //nolint:gosec,noctx // the caller's binary, which Stop ends gently
	command.Stderr = o.Log
	detach(command)
	if err := command.Start(); err != nil {
		return nil, err
	}
	s := &Server{Address: net.JoinHostPort("127.0.0.1", strconv.Itoa(o.Port)), Process: command.Process, ended: make(chan struct{})}
	if o.UI {
		s.UI = "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(min(o.Port+1000, 65535)))
	}
	go func() {
		_ = command.Wait() // it ends with Stop or Kill
		close(s.ended)
	}()
	if err := s.serves(ctx); err != nil {
		s.Kill()
		return nil, fmt.Errorf("starting Temporal's development server: %w", err)
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
		case <-s.ended:
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
	case <-s.ended:
	case <-time.After(10 * time.Second):
		s.Kill()
	}
}

// Kill ends the server at once. What is in its database stays.
func (s *Server) Kill() {
	_ = s.Process.Kill()
	<-s.ended
}

func freePort(ctx context.Context) (int, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer func() { _ = listener.Close() }()
	address, _ := listener.Addr().(*net.TCPAddr)
	return address.Port, nil
}
