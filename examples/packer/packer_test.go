//go:build unix

// Package packer_test runs the templates of this folder with Packer. Without it
// the tests skip, or fail if IMAGEJOBS_REQUIRE_PACKER is 1.
package packer_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
	"github.com/imagejobs/imagejobs-go/imagereplicator/imagereplicatortest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	chunks = 6 // of 16 MiB, but for the last
	size   = 5<<20*16 + 12345
)

// A build that Ctrl-C ends after a third of the upload keeps the image. Another
// one uploads the rest, copies the image, and no log of Packer has a secret.
func TestInterruptedBuildGoesOn(t *testing.T) {
	packer := program(t)
	bin := t.TempDir()
	for _, name := range []string{"sandbox", "oracle-upload", "image-copy"} {
		out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "../"+name).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	for _, template := range []string{"publish.json", "publish.pkr.hcl"} {
		t.Run(template, func(t *testing.T) {
			env := startSandbox(t, filepath.Join(bin, "sandbox"))
			between := startGate(t, env["ORACLE_MARKETPLACE_ENDPOINT"])
			env["ORACLE_MARKETPLACE_ENDPOINT"] = between.URL
			env["PATH"] = bin + string(os.PathListSeparator) + os.Getenv("PATH")
			template, err := filepath.Abs(template)
			require.NoError(t, err)
			b := &build{packer: packer, template: template, dir: t.TempDir(), env: env}
			source := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
			require.NoError(t, os.WriteFile(filepath.Join(b.dir, "source"), source, 0o600))

			ended := b.start(t)
			select {
			case <-between.third:
			case log := <-ended:
				require.FailNow(t, "the build ended before a third of the upload", log)
			}
			require.NoError(t, syscall.Kill(-b.pid, syscall.SIGINT)) // as a terminal does: to the whole group
			first := <-ended
			require.NotZero(t, b.code, first)
			// Packer does not wait for what it started.
			interrupted := func() bool {
				code := b.result(t, "oracle-upload.json").ExitCode
				return code != nil && *code == cli.Interrupted
			}
			require.Eventually(t, interrupted, time.Minute, 10*time.Millisecond, first)
			kept, err := os.ReadFile(filepath.Join(b.dir, "image.tar.gz"))
			require.NoError(t, err, "Packer deleted the image: %s", first)
			require.True(t, bytes.Equal(source, kept))

			between.open()
			second := <-b.start(t)
			require.Zero(t, b.code, second)
			require.Contains(t, second, "resuming upload request 7934470: 2 of 6 chunks are uploaded already")
			require.Equal(t, map[string]int{"1": 1, "2": 1, "3": 1, "4": 1, "5": 1, "6": 1}, between.received)
			require.FileExists(t, filepath.Join(b.dir, "image.tar.gz"))
			require.Equal(t, cli.IDs{"uploadRequestId": 7934470.0}, b.result(t, "oracle-upload.json").IDs)
			copies := b.result(t, "image-copy.json")
			require.Equal(t, cli.Done, *copies.ExitCode)
			require.Regexp(t, `^\[map\[imageId:\S+ jobId:\S+ tenantId:`+imagereplicatortest.DestinationTenantID+`\]\]$`, copies.IDs["copies"])

			for _, log := range []string{first, second} {
				require.Contains(t, log, "[INFO] Packer version: ", "PACKER_LOG has no effect")
				for _, name := range []string{"ORACLE_MARKETPLACE_CLIENT_SECRET", "OS_PASSWORD"} {
					require.NotEmpty(t, env[name])
					require.NotContains(t, log, env[name])
				}
			}
		})
	}
}

// program returns the path of Packer.
func program(t *testing.T) string {
	t.Helper()
	if path, err := exec.LookPath("packer"); err == nil {
		// Another program of this name belongs to cracklib.
		out, err := exec.CommandContext(t.Context(), path, "version").CombinedOutput()
		if err == nil && strings.HasPrefix(string(out), "Packer v") {
			return path
		}
	}
	const missing = "there is no packer: apt-get install -y --no-install-recommends packer"
	if os.Getenv("IMAGEJOBS_REQUIRE_PACKER") == "1" {
		t.Fatal(missing)
	}
	t.Skip(missing)
	return ""
}

// startSandbox runs the sandbox and returns the environment for its clients.
func startSandbox(t *testing.T, path string) map[string]string {
	t.Helper()
	sandbox := exec.Command(path, "-json", "-speed", "1000", "-discard")
	stdout, err := sandbox.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, sandbox.Start())
	t.Cleanup(func() {
		_ = sandbox.Process.Signal(os.Interrupt)
		_ = sandbox.Wait()
	})
	var printed struct{ Env map[string]string }
	require.NoError(t, json.NewDecoder(stdout).Decode(&printed))
	return printed.Env
}

// build is a packer build in a folder.
type build struct {
	packer, template, dir string
	env                   map[string]string

	pid, code int
}

// start starts it. Its output comes from the channel when it has ended.
func (b *build) start(t *testing.T) <-chan string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	command := exec.CommandContext(ctx, b.packer, "build", "-color=false",
		"-var", "source=source", "-var", "application=app", "-var", "image_version=1",
		"-var", "ntt_image="+imagereplicatortest.ImageID, "-var", "ntt_tenants="+imagereplicatortest.DestinationTenantID,
		b.template)
	command.Dir = b.dir
	command.Env = append(os.Environ(), "PACKER_LOG=1", "CHECKPOINT_DISABLE=1", "PACKER_CONFIG_DIR="+b.dir)
	for name, value := range b.env {
		command.Env = append(command.Env, name+"="+value)
	}
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	var log bytes.Buffer
	command.Stdout, command.Stderr = &log, &log
	require.NoError(t, command.Start())
	b.pid = command.Process.Pid
	ended := make(chan string, 1)
	go func() {
		_ = command.Wait() // the code says it
		b.code = command.ProcessState.ExitCode()
		ended <- log.String()
	}()
	return ended
}

// result returns what a program keeps in its -result, nothing before there is
// such a file.
func (b *build) result(t *testing.T, name string) (outcome cli.Outcome) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(b.dir, name))
	if !errors.Is(err, fs.ErrNotExist) {
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(data, &outcome))
	}
	return outcome
}

// gate is a proxy that lets a third of the chunks through until it is opened.
type gate struct {
	*httptest.Server

	// third is closed when a third is acknowledged, known to the client to be,
	// and all other chunks wait here.
	third chan struct{}

	mu       sync.Mutex
	opened   bool
	admitted int
	held     int
	received map[string]int // how often the service acknowledged each chunk
}

func startGate(t *testing.T, service string) *gate {
	t.Helper()
	target, err := url.Parse(service)
	require.NoError(t, err)
	transport := &http.Transport{}
	g := &gate{third: make(chan struct{}), received: map[string]int{}}
	proxy := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport: transport,
		ModifyResponse: func(r *http.Response) error {
			g.mu.Lock()
			defer g.mu.Unlock()
			if number := r.Request.Header.Get("X-Chunk-Number"); number != "" && r.StatusCode < 300 {
				g.received[number]++
			}
			return nil
		},
	}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Chunk-Number") == "" || g.admit() {
			proxy.ServeHTTP(w, r)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}))
	t.Cleanup(func() {
		g.Close()
		transport.CloseIdleConnections()
	})
	return g
}

func (g *gate) admit() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.opened || g.admitted < chunks/3 {
		g.admitted++
		return true
	}
	// One chunk takes the place of another once that is in the checkpoint.
	g.held++
	if g.held == chunks-chunks/3 {
		close(g.third)
	}
	return false
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.opened = true
}
