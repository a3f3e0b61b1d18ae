package oraclemarket_test

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/oraclemarket"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

// Uploads that fail and go on leave no open file, no connection and no
// temporary file behind.
func TestUploadLeavesNothingOpen(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("counts descriptors in /proc")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "wordpress.tar.gz")
	require.NoError(t, os.WriteFile(path, randomBytes(10*testChunk), 0o600))
	checkpoints := filepath.Join(dir, "checkpoints")
	before := descriptors(t)
	for range 5 {
		server := oraclemarkettest.NewServer(oraclemarkettest.WithJobTime(0))
		client := server.Client(oraclemarket.WithRetry(2, 0, time.Millisecond), oraclemarket.WithOutageLimit(100*time.Millisecond))
		req := &oraclemarket.ImageUpload{
			Application: "wordpress", Version: "OL67", OperatingSystem: "Linux", ChunkSize: testChunk,
			Checkpoints: oraclemarket.FileCheckpoints(checkpoints),
		}
		server.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpUploadChunk, Skip: 4, Times: -1, Drop: oraclemarkettest.DropDuring})
		_, err := client.MachineImages.UploadFile(t.Context(), path, req)
		require.Error(t, err)
		server.ClearFaults()
		_, err = client.MachineImages.UploadFile(t.Context(), path, req)
		require.NoError(t, err)
		server.Close()
	}
	require.Eventually(t, func() bool { return descriptors(t) <= before }, time.Minute, 10*time.Millisecond)
	left, err := os.ReadDir(checkpoints)
	require.NoError(t, err)
	require.Empty(t, left)
}

func descriptors(t *testing.T) int {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(open)
}
