//go:build linux

package keystone_test

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"text/template"
	"time"

	"github.com/stretchr/testify/require"
)

// limit bounds the life of Keystone and with it that of the test.
const limit = time.Minute

// nobody is Debian's user and group without rights, by which Keystone runs where
// tests run as root.
const nobody = 65534

// requireKeystone skips the test if Debian's package is not installed.
func requireKeystone(t *testing.T) {
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

// start runs a new Keystone with an administrator "admin" and that address in its
// catalog. It returns where it listens, and where the same Keystone issues tokens
// of two seconds.
func start(t *testing.T, address, password string) (lasting, short *url.URL) {
	t.Helper()
	dir := t.TempDir()
	configs, err := template.ParseGlob("testdata/*.conf")
	require.NoError(t, err)
	for _, config := range configs.Templates() {
		var text bytes.Buffer
		require.NoError(t, config.Execute(&text, dir))
		require.NoError(t, os.WriteFile(filepath.Join(dir, config.Name()), text.Bytes(), 0o644))
	}
	keys := filepath.Join(dir, "keys")
	require.NoError(t, os.Mkdir(keys, 0o700))
	program, err := os.ReadFile("testdata/serve.py")
	require.NoError(t, err)

	ctx, cancel := context.WithTimeout(t.Context(), limit)
	cmd := exec.CommandContext(ctx, "/usr/bin/python3", "-c", string(program), address, password)
	cmd.Dir = dir
	cmd.Env = []string{"HOME=" + dir, "PATH=/usr/bin:/bin", "LANG=C.UTF-8", "OS_KEYSTONE_CONFIG_DIR=" + dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setpgid:   true,
		Pdeathsig: syscall.SIGKILL, // also if the test binary is killed
	}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // and what it forked
	if os.Geteuid() == 0 {
		require.NoError(t, os.Chmod(filepath.Dir(dir), 0o711)) // Keystone has to get there
		require.NoError(t, os.Chown(dir, nobody, nobody))
		require.NoError(t, os.Chown(keys, nobody, nobody))
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	require.NoError(t, err)
	cmd.Stderr = log
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // by the signal
		_ = log.Close()
		if t.Failed() {
			text, _ := os.ReadFile(log.Name()) // the test has failed anyway
			t.Logf("%s", text[max(0, len(text)-8000):])
		}
	})
	var ports [2]int
	_, err = fmt.Fscan(stdout, &ports[0], &ports[1])
	require.NoError(t, err, "Keystone does not start")
	return local(ports[0]), local(ports[1])
}

func local(port int) *url.URL {
	return &url.URL{Scheme: "http", Host: fmt.Sprintf("127.0.0.1:%d", port)}
}
