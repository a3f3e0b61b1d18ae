//go:build linux

package keystone_test

import (
	"bytes"
	"context"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"text/template"
	"time"

	"github.com/stretchr/testify/require"
)

// nobody is Debian's user and group without rights, by which Keystone runs where
// tests run as root.
const nobody = 65534

// installation is a Keystone with a database and keys of its own.
type installation struct {
	t   *testing.T
	ctx context.Context // of all that it runs
	dir string
}

// install creates a Keystone with an administrator: user, project and role
// "admin". Its address is for the catalog.
func install(ctx context.Context, t *testing.T, address, password string) *installation {
	t.Helper()
	i := &installation{t: t, ctx: ctx, dir: t.TempDir()}
	files, err := template.ParseGlob("testdata/*.conf")
	require.NoError(t, err)
	for _, file := range files.Templates() {
		var text bytes.Buffer
		require.NoError(t, file.Execute(&text, i.dir))
		require.NoError(t, os.WriteFile(i.path(file.Name()), text.Bytes(), 0o644))
	}
	require.NoError(t, os.Mkdir(i.path("keys"), 0o700))
	if os.Geteuid() == 0 {
		require.NoError(t, os.Chmod(filepath.Dir(i.dir), 0o711)) //nolint:gosec // Keystone has to get there
		require.NoError(t, os.Chown(i.dir, nobody, nobody))
		require.NoError(t, os.Chown(i.path("keys"), nobody, nobody))
	}
	manage := func(args ...string) *child {
		return i.run("keystone-manage", append([]string{"--config-file", i.path("keystone.conf")}, args...)...)
	}
	keys, database := manage("fernet_setup"), manage("db_sync")
	keys.succeeded()
	database.succeeded()
	manage("bootstrap", "--bootstrap-password", password, "--bootstrap-region-id", "RegionOne",
		"--bootstrap-public-url", address, "--bootstrap-internal-url", address).succeeded()
	return i
}

func (i *installation) path(name string) string { return filepath.Join(i.dir, name) }

// serve starts Keystone with these of its files as configuration. The port is of
// Keystone's own choice.
func (i *installation) serve(configs ...string) *child {
	i.t.Helper()
	return i.run("env", "OS_KEYSTONE_CONFIG_DIR="+i.dir, "OS_KEYSTONE_CONFIG_FILES="+strings.Join(configs, ";"),
		"keystone-wsgi-public", "--host", "127.0.0.1", "--port", "0")
}

// run starts a program as a child that ends with the test.
func (i *installation) run(program string, args ...string) *child {
	i.t.Helper()
	ctx, cancel := context.WithCancel(i.ctx)
	c := &child{t: i.t, name: program + " " + strings.Join(args, " "), ended: make(chan struct{})}
	c.output.listening = make(chan *url.URL, 1)
	cmd := exec.CommandContext(ctx, "/usr/bin/"+program, args...)
	cmd.Dir = i.dir
	cmd.Env = []string{"HOME=" + i.dir, "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"}
	cmd.Stdout, cmd.Stderr = &c.output, &c.output
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setpgid:   true,
		Pdeathsig: syscall.SIGKILL, // also if the test binary is killed
	}
	if os.Geteuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	require.NoError(i.t, cmd.Start())
	go func() {
		defer close(c.ended)
		c.err = cmd.Wait()
	}()
	i.t.Cleanup(func() {
		cancel()
		<-c.ended
		if i.t.Failed() {
			i.t.Log(c.complaints())
		}
	})
	return c
}

// requireProgram skips the test if Debian's package is not installed.
func requireProgram(t *testing.T) {
	t.Helper()
	if _, err := os.Stat("/usr/bin/keystone-manage"); err == nil {
		return
	}
	const missing = "there is no Keystone: apt-get install -y --no-install-recommends python3-keystone"
	if os.Getenv("IMAGEJOBS_REQUIRE_KEYSTONE") == "1" {
		t.Fatal(missing)
	}
	t.Skip(missing)
}

// child is a process in a group of its own.
type child struct {
	t      *testing.T
	name   string
	output output
	ended  chan struct{}
	err    error // once it has ended
}

// succeeded waits for the end.
func (c *child) succeeded() {
	c.t.Helper()
	<-c.ended
	require.NoError(c.t, c.err, c.complaints())
}

// address waits until a server listens and returns where.
func (c *child) address() *url.URL {
	c.t.Helper()
	select {
	case address := <-c.output.listening:
		return address
	case <-c.ended:
		require.FailNow(c.t, "no address", c.complaints())
		return nil
	}
}

// complaints returns the end of what the child has to say.
func (c *child) complaints() string {
	c.output.mu.Lock()
	defer c.output.mu.Unlock()
	text := c.output.text.Bytes()
	return c.name + ":\n" + string(text[max(0, len(text)-4000):])
}

// output is what a child prints.
type output struct {
	listening chan *url.URL

	mu    sync.Mutex
	text  bytes.Buffer
	found bool
}

var available = regexp.MustCompile(`Available at http://[^/]*:(\d+)/`)

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, err := o.text.Write(p)
	if match := available.FindSubmatch(o.text.Bytes()); match != nil && !o.found {
		o.found = true
		o.listening <- &url.URL{Scheme: "http", Host: "127.0.0.1:" + string(match[1])}
	}
	return n, err
}
