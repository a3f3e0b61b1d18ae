package oraclemarket

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// CheckpointStore keeps the state of uploads, a few KiB each, so that a later
// call, process or machine can resume them. The state holds no secret and no
// path. Upload never calls two methods for one key at the same time. It waits
// for a method for up to 5 seconds after its context has ended; if that has not
// returned by then, Upload does not call the store again, and keeps the lock
// until it has.
//
// A store that also implements [CheckpointLocker] keeps two uploads from using
// one checkpoint at once.
type CheckpointStore interface {
	// Load returns what Save stored. If the key has no checkpoint, the error
	// matches [fs.ErrNotExist].
	Load(ctx context.Context, key string) ([]byte, error)
	// Save replaces the checkpoint atomically. It returns once state would survive
	// a crash.
	Save(ctx context.Context, key string, state []byte) error
	// Delete removes the checkpoint. Deleting a missing checkpoint is not an
	// error.
	Delete(ctx context.Context, key string) error
}

// CheckpointLocker is a [CheckpointStore] that can lock a key. A lock must end
// with the process that holds it. If the key is locked already, the error
// matches [ErrCheckpointLocked].
type CheckpointLocker interface {
	Lock(ctx context.Context, key string) (unlock func() error, err error)
}

// FileCheckpointStore is a [CheckpointStore] and [CheckpointLocker] in a folder.
// Create it with [FileCheckpoints].
type FileCheckpointStore struct {
	dir string
	// fsync is (*os.File).Sync, but for tests.
	fsync    func(*os.File) error
	unsynced atomic.Bool
}

// FileCheckpoints returns a store that keeps checkpoints as files in dir, which
// is created if missing. They are written atomically, with mode 0600, and
// synced to disk. On a file system that cannot sync, a crash of the machine may
// lose the newest state; the client logs that once.
//
// A checkpoint is locked while an upload uses it. On systems without file locks,
// such as plan9 and js, and on file systems without them, Lock fails with an
// error that matches [errors.ErrUnsupported], and so does Upload.
func FileCheckpoints(dir string) *FileCheckpointStore {
	return &FileCheckpointStore{dir: dir, fsync: (*os.File).Sync}
}

func (s *FileCheckpointStore) path(key, suffix string) (string, error) {
	if s == nil || s.dir == "" {
		return "", invalid("FileCheckpoints: dir", "must not be empty")
	}
	if problem := transport.IDProblem(key); problem != "" {
		return "", invalid("checkpoint key", "%s", problem)
	}
	return filepath.Join(s.dir, key+suffix), nil
}

// Load implements [CheckpointStore].
func (s *FileCheckpointStore) Load(_ context.Context, key string) ([]byte, error) {
	name, err := s.path(key, ".json")
	if err != nil {
		return nil, err
	}
	return os.ReadFile(name)
}

// Save implements [CheckpointStore].
func (s *FileCheckpointStore) Save(_ context.Context, key string, state []byte) error {
	name, err := s.path(key, ".json")
	if err != nil {
		return err
	}
	if err := s.makeDir(); err != nil {
		return err
	}
	// One fixed name: the key is locked, and a crash leaves at most one behind,
	// which the next Save replaces, whatever its mode.
	temp := strings.TrimSuffix(name, ".json") + ".tmp"
	if err := remove(temp); err != nil {
		return err
	}
	if err := s.write(temp, state); err != nil {
		_ = os.Remove(temp)
		return err
	}
	if err := os.Rename(temp, name); err != nil {
		_ = os.Remove(temp)
		return err
	}
	return s.syncDir(s.dir) // a new name is not on disk before that
}

func (s *FileCheckpointStore) write(name string, data []byte) (err error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.Write(data); err != nil {
		return err
	}
	return s.sync(f)
}

// Delete implements [CheckpointStore].
func (s *FileCheckpointStore) Delete(_ context.Context, key string) error {
	for _, suffix := range []string{".tmp", ".json"} {
		name, err := s.path(key, suffix)
		if err != nil {
			return err
		}
		if err := remove(name); err != nil {
			return err
		}
	}
	if err := s.syncDir(s.dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func remove(name string) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Lock implements [CheckpointLocker].
func (s *FileCheckpointStore) Lock(_ context.Context, key string) (func() error, error) {
	name, err := s.path(key, ".lock")
	if err != nil {
		return nil, err
	}
	if err := s.makeDir(); err != nil {
		return nil, err
	}
	return lockFile(name)
}

// makeDir creates the folder. Each folder that is new has to be synced by the
// one above it.
func (s *FileCheckpointStore) makeDir() error {
	var above []string
	for dir := filepath.Clean(s.dir); ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			break
		}
		above = append(above, filepath.Dir(dir))
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	for _, dir := range above {
		if err := s.syncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

// sync syncs f, as far as its file system can: SMB, FUSE and some NFS cannot.
func (s *FileCheckpointStore) sync(f *os.File) error {
	err := s.fsync(f)
	if cannotSync(err) {
		s.unsynced.Store(true)
		return nil
	}
	return err
}

// skippedSync reports whether a file system could not sync. Upload logs it.
func (s *FileCheckpointStore) skippedSync() bool { return s.unsynced.Load() }

func cannotSync(err error) bool {
	return errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported)
}
