package oraclemarket_test

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

// fipsOnly forbids MD5 to a process.
const fipsOnly = "GODEBUG=fips140=only"

// Where MD5 is forbidden, an upload works without checksums, and resumes.
func TestUploadFIPSOnly(t *testing.T) {
	t.Parallel()
	r := overTCP(t, nil, nil)
	data := randomBytes(9 * testChunk)
	path := filepath.Join(t.TempDir(), "wordpress.tar.gz")
	require.NoError(t, os.WriteFile(path, data, 0o600))
	task := r.task(path, t.TempDir())
	finish := func(p *process) error {
		for range p.lines {
		}
		return p.cmd.Wait()
	}
	p := startProcess(t, task, fipsOnly)
	require.Error(t, finish(p))
	require.Contains(t, p.stderr.String(), "oraclemarket: ImageUpload.DisableChecksum: must be true: ")
	require.Empty(t, r.Uploads())

	task.NoChecksum = true
	r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpUploadChunk, Skip: 4, Status: http.StatusForbidden, Times: -1})
	p = startProcess(t, task, fipsOnly)
	require.Error(t, finish(p))
	r.ClearFaults()
	p = startProcess(t, task, fipsOnly)
	require.NoError(t, finish(p), &p.stderr)
	requireImage(t, r.only(t), data)
}

// The tests of a program may run there, too: the server takes its checksums
// nevertheless.
func TestUploadFIPSOnlyServer(t *testing.T) {
	t.Parallel()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), exe, "-test.run=^TestUploadDisableChecksum$", "-test.v", "-test.timeout=20s")
	cmd.Env = append(os.Environ(), fipsOnly)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "--- PASS: TestUploadDisableChecksum")
}
