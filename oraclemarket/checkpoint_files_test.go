package oraclemarket

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// A file system that cannot sync is used as far as it goes; one that fails to is
// an error.
func TestFileCheckpointsWithoutSync(t *testing.T) {
	t.Parallel()
	for err, tolerated := range map[error]bool{
		syscall.EINVAL:          true,
		errors.ErrUnsupported:   true, // ENOTSUP, EOPNOTSUPP, ENOSYS
		fs.ErrPermission:        false,
		errors.New("disk full"): false,
	} {
		ctx, store := t.Context(), FileCheckpoints(filepath.Join(t.TempDir(), "a", "b"))
		store.fsync = func(f *os.File) error { return &fs.PathError{Op: "sync", Path: f.Name(), Err: err} }
		saved := store.Save(ctx, "key", []byte("state"))
		if !tolerated {
			require.ErrorIs(t, saved, err)
			require.ErrorIs(t, store.Save(ctx, "key", []byte("state")), err, "now that the folder is there")
			left, readErr := os.ReadDir(store.dir)
			require.NoError(t, readErr)
			require.Empty(t, left)
			continue
		}
		require.NoError(t, saved)
		state, loadErr := store.Load(ctx, "key")
		require.NoError(t, loadErr)
		require.Equal(t, "state", string(state))
		require.True(t, store.skippedSync())
		require.NoError(t, store.Delete(ctx, "key"))
	}
}

// What is new or gone survives a crash: the folders above a new one are synced,
// and the folder after a deletion.
func TestFileCheckpointsSyncs(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no call that syncs a folder")
	}
	ctx, root := t.Context(), t.TempDir()
	store := FileCheckpoints(filepath.Join(root, "a", "b"))
	var synced []string
	store.fsync = func(f *os.File) error {
		name, err := filepath.Rel(root, f.Name())
		synced = append(synced, name)
		return errors.Join(err, f.Sync())
	}
	require.NoError(t, store.Save(ctx, "key", []byte("state")))
	for _, want := range []string{".", "a", filepath.Join("a", "b"), filepath.Join("a", "b", "key.tmp")} {
		require.Contains(t, synced, want)
	}
	require.Equal(t, filepath.Join("a", "b"), synced[len(synced)-1], "after the rename")

	synced = nil
	require.NoError(t, store.Save(ctx, "key", []byte("state 2")))
	require.False(t, slices.Contains(synced, "."), "an old folder is on disk already")
	synced = nil
	require.NoError(t, store.Delete(ctx, "key"))
	require.Equal(t, []string{filepath.Join("a", "b")}, synced)
	require.False(t, store.skippedSync())

	require.NoError(t, FileCheckpoints(filepath.Join(root, "missing")).Delete(ctx, "key"))
}

// A store that embeds ours, to count or to encrypt, keeps its locks.
func TestEmbeddedFileCheckpointsLock(t *testing.T) {
	t.Parallel()
	type counting struct{ *FileCheckpointStore }
	var store CheckpointStore = counting{FileCheckpoints(t.TempDir())}
	locker, ok := store.(CheckpointLocker)
	require.True(t, ok)
	unlock, err := locker.Lock(t.Context(), "key")
	require.NoError(t, err)
	_, err = locker.Lock(t.Context(), "key")
	require.ErrorIs(t, err, ErrCheckpointLocked)
	require.NoError(t, unlock())
}

// What the file system cannot promise is in the log, once.
func TestUnsyncedCheckpointsAreLogged(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	client, err := New("partner@example.com", StaticToken("token"), WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	require.NoError(t, err)
	store := FileCheckpoints(t.TempDir())
	store.fsync = func(*os.File) error { return syscall.EINVAL }
	u := &upload{
		saves: newJoinedSaves(), service: client.MachineImages, state: sampleCheckpoint(), done: newChunkSet(11),
		req: &ImageUpload{Checkpoints: store}, key: "key",
	}
	for range 3 {
		require.NoError(t, u.save(t.Context(), phaseUploading))
	}
	require.Equal(t, 1, strings.Count(log.String(), "cannot be synced to disk"), log.String())
}
