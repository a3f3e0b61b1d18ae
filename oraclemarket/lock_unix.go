//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package oraclemarket

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// lockFile locks the file of that name until unlock or the end of the process,
// and removes the file then.
func lockFile(name string) (unlock func() error, err error) {
	for {
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
			_ = f.Close()
			if errors.Is(err, syscall.EWOULDBLOCK) {
				return nil, fmt.Errorf("%w (%s)", ErrCheckpointLocked, name)
			}
			if errors.Is(err, syscall.ENOLCK) || errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
				return nil, fmt.Errorf("%s: the file system of %s has no locks (%w): keep the checkpoints on a local disk: %w",
					pkg, name, err, errors.ErrUnsupported)
			}
			return nil, fmt.Errorf("lock %s: %w", name, err)
		}
		// The last holder may have removed the file between our open and our
		// lock: then this locks a file that nobody else can open.
		if current, err := os.Stat(name); err == nil {
			if own, err := f.Stat(); err == nil && os.SameFile(own, current) {
				return func() error { return unlockFile(f) }, nil
			}
		}
		_ = f.Close()
	}
}

// unlockFile removes the file before it unlocks it: after that the file may be
// somebody else's.
func unlockFile(f *os.File) error {
	err := os.Remove(f.Name())
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, f.Close())
}

func (s *FileCheckpointStore) syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(s.sync(d), d.Close())
}
