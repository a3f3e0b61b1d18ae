package oraclemarket

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// CheckpointStore keeps the state of uploads, a few KiB each, so that a later
// call, process or machine can resume them. The state holds no secret and no
// path. Upload never calls two methods for one key at the same time.
//
// A store that also implements [CheckpointLocker] keeps two uploads from using
// one checkpoint at once.
type CheckpointStore interface {
	// Load returns what Save stored. Without a checkpoint for the key the error
	// matches fs.ErrNotExist.
	Load(ctx context.Context, key string) ([]byte, error)
	// Save stores state in place of what was there, whole or not at all, and
	// returns when it would survive a crash.
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

// FileCheckpoints returns a [CheckpointStore] that keeps checkpoints as files in
// dir, which is created if missing. They are written atomically, with mode 0600,
// and locked while an upload uses them: it implements [CheckpointLocker]. On
// systems without file locks, such as plan9 and js, Lock fails with
// [errors.ErrUnsupported], and so does Upload.
func FileCheckpoints(dir string) CheckpointStore { return fileCheckpoints{dir} }

type fileCheckpoints struct{ dir string }

func (s fileCheckpoints) path(key, suffix string) (string, error) {
	if s.dir == "" {
		return "", invalid("FileCheckpoints: dir", "must not be empty")
	}
	if problem := transport.IDProblem(key); problem != "" {
		return "", invalid("checkpoint key", "%s", problem)
	}
	return filepath.Join(s.dir, key+suffix), nil
}

// Load implements [CheckpointStore].
func (s fileCheckpoints) Load(_ context.Context, key string) ([]byte, error) {
	name, err := s.path(key, ".json")
	if err != nil {
		return nil, err
	}
	return os.ReadFile(name)
}

// Save implements [CheckpointStore]. The folder is synced too: a new name is not
// on disk before that.
func (s fileCheckpoints) Save(_ context.Context, key string, state []byte) error {
	name, err := s.path(key, ".json")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	// One fixed name: the key is locked, and a crash leaves at most one behind,
	// which the next Save replaces, whatever its mode.
	temp := strings.TrimSuffix(name, ".json") + ".tmp"
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := writeSynced(temp, state); err != nil {
		_ = os.Remove(temp)
		return err
	}
	if err := os.Rename(temp, name); err != nil {
		_ = os.Remove(temp)
		return err
	}
	return syncDir(s.dir)
}

func writeSynced(name string, data []byte) (err error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Sync()
}

// Delete implements [CheckpointStore].
func (s fileCheckpoints) Delete(_ context.Context, key string) error {
	for _, suffix := range []string{".tmp", ".json"} {
		name, err := s.path(key, suffix)
		if err != nil {
			return err
		}
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Lock implements [CheckpointLocker].
func (s fileCheckpoints) Lock(_ context.Context, key string) (func() error, error) {
	name, err := s.path(key, ".lock")
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, err
	}
	return lockFile(name)
}
