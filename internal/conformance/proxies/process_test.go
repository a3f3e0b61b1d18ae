//go:build linux

package proxies

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"text/template"
	"time"

	"github.com/stretchr/testify/require"
)

// patience bounds what takes a moment on an idle machine, and squid many seconds
// on a busy one.
const patience = time.Minute

// site is an address on which a proxy listens, and the service behind it.
type site struct{ Listen, Backend string }

// proxy is a proxy that runs. Its exported fields are for the configuration.
type proxy struct {
	Dir   string
	Sites []site

	t       *testing.T
	program string
	name    string
	conf    string
	now     *child // the newest, after a reload
}

// start runs the program with testdata/conf in front of the backends, each a
// URL. A forward proxy has no backend: "".
func start(t *testing.T, name, conf string, backends ...string) *proxy {
	t.Helper()
	p := &proxy{t: t, Dir: t.TempDir(), name: name, conf: conf, program: program(t, name)}
	own(t, p.Dir)
	// Another process may take a port between the choice and the start.
	for range 3 {
		p.Sites = nil
		for _, backend := range backends {
			p.Sites = append(p.Sites, site{freeAddress(t), strings.TrimPrefix(backend, "http://")})
		}
		p.configure()
		p.now = p.spawn()
		if p.accepts() {
			return p
		}
		p.now.stop()
	}
	require.FailNow(t, name+" does not start", p.complaints())
	return nil
}

// program returns the path of a program of Debian's package of the same name.
func program(t *testing.T, name string) string {
	t.Helper()
	for _, candidate := range []string{name, "/usr/sbin/" + name} {
		if path, err := exec.LookPath(candidate); err == nil {
			return path
		}
	}
	missing := "there is no " + name + ": apt-get install -y --no-install-recommends nginx squid haproxy"
	if os.Getenv("IMAGEJOBS_REQUIRE_PROXIES") == "1" {
		t.Fatal(missing)
	}
	t.Skip(missing)
	return ""
}

// addresses has those that freeAddress has returned.
var addresses sync.Map

// freeAddress returns an address that nothing listens on, and none twice. The
// system gives its port to nobody who asks for any, as all the servers and
// clients of these and other tests do until the proxy listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	given, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	require.NoError(t, err)
	var low, high int
	_, err = fmt.Sscan(string(given), &low, &high)
	require.NoError(t, err)
	for range 10_000 {
		port := 10_000 + rand.IntN(1<<16-10_000)
		if low <= port && port <= high {
			continue
		}
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err != nil {
			continue
		}
		require.NoError(t, l.Close())
		if _, before := addresses.LoadOrStore(l.Addr().String(), true); !before {
			return l.Addr().String()
		}
	}
	require.FailNow(t, "no port is free")
	return ""
}

// configure writes the program's files of testdata to the proxy's folder.
func (p *proxy) configure() {
	p.t.Helper()
	files, err := template.ParseGlob("testdata/" + p.name + ".*")
	require.NoError(p.t, err)
	for _, file := range files.Templates() {
		var text bytes.Buffer
		require.NoError(p.t, file.Execute(&text, p))
		require.NoError(p.t, os.WriteFile(p.path(file.Name()), text.Bytes(), 0o644))
	}
}

func (p *proxy) path(name string) string { return filepath.Join(p.Dir, name) }

// url returns the address of a site.
func (p *proxy) url(i int) string { return "http://" + p.Sites[i].Listen }

// reload starts a second haproxy, which takes the sockets over from the first
// and tells it to finish. It returns the first.
func (p *proxy) reload() (old *child) {
	p.t.Helper()
	old = p.now
	p.now = p.spawn("-x", p.path("socket"), "-sf", strconv.Itoa(old.pid()))
	return old
}

// spawn runs the program as a child, by a user without rights.
func (p *proxy) spawn(more ...string) *child {
	p.t.Helper()
	args := map[string][]string{
		"nginx":   {"-p", p.Dir, "-c", p.path(p.conf), "-e", p.path("error.log")},
		"squid":   {"-N", "-f", p.path(p.conf)},
		"haproxy": {"-db", "-f", p.path(p.conf)},
	}[p.name]
	cmd := exec.Command(p.program, append(args, more...)...)
	cmd.Dir = p.Dir
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setpgid:    true,
		Pdeathsig:  syscall.SIGTERM, // also if the test binary is killed
		Credential: nobody(p.t),
	}
	stdout, stderr := p.open("access.log"), p.open("stderr.log")
	cmd.Stdout, cmd.Stderr = stdout, stderr
	require.NoError(p.t, cmd.Start())
	c := &child{cmd: cmd, ended: make(chan struct{})}
	go func() {
		defer close(c.ended)
		_ = cmd.Wait() // by a signal
		_ = stdout.Close()
		_ = stderr.Close()
	}()
	p.t.Cleanup(func() {
		c.stop()
		if p.t.Failed() {
			p.t.Log(p.complaints())
		}
	})
	return c
}

// open opens a file of the proxy to append to it, as the proxy does.
func (p *proxy) open(name string) *os.File {
	p.t.Helper()
	f, err := os.OpenFile(p.path(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	require.NoError(p.t, err)
	own(p.t, f.Name())
	return f
}

// accepts reports whether the proxy accepts connections, which it does for all
// of its sites or none.
func (p *proxy) accepts() bool {
	deadline := time.After(patience)
	for {
		conn, err := net.Dial("tcp", p.Sites[0].Listen)
		if err == nil {
			_ = conn.Close()
			return true
		}
		select {
		case <-p.now.ended:
			return false
		case <-deadline:
			return false
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// complaints returns the end of what the proxy has to say.
func (p *proxy) complaints() string {
	var all strings.Builder
	for _, name := range []string{"stderr.log", "error.log", "cache.log"} {
		text, _ := os.ReadFile(p.path(name)) // not each proxy has them all
		all.Write(text[max(0, len(text)-2000):])
	}
	return all.String()
}

// log stops the proxy and returns the fields of each line of its access log.
func (p *proxy) log() [][]string {
	p.t.Helper()
	p.now.stop()
	text, err := os.ReadFile(p.path("access.log"))
	require.NoError(p.t, err)
	var lines [][]string
	for line := range strings.Lines(string(text)) {
		lines = append(lines, strings.Fields(line))
	}
	return lines
}

// child is a process in a group of its own.
type child struct {
	cmd   *exec.Cmd
	ended chan struct{}
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// stop ends the process and all that it started.
func (c *child) stop() {
	_ = c.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-c.ended:
	case <-time.After(patience):
	}
	_ = syscall.Kill(-c.pid(), syscall.SIGKILL)
	<-c.ended
}

// nobody returns the user that the proxies run as where tests run as root: squid
// refuses to run as root, and none needs to.
func nobody(t *testing.T) *syscall.Credential {
	t.Helper()
	if os.Geteuid() != 0 {
		return nil
	}
	u, err := user.Lookup("nobody")
	require.NoError(t, err)
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	require.NoError(t, err)
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	require.NoError(t, err)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// own gives a folder of t.TempDir, with the one above, or a file to that user.
func own(t *testing.T, path string) {
	t.Helper()
	if user := nobody(t); user != nil {
		require.NoError(t, os.Chown(path, int(user.Uid), int(user.Gid)))
		require.NoError(t, os.Chmod(filepath.Dir(path), 0o711))
	}
}
