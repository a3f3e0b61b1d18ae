package oraclemarket

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

const (
	fileFlagDeleteOnClose = 0x04000000
	errSharingViolation   = syscall.Errno(32)
)

// lockFile keeps the file of that name open, and shut for others, until unlock
// or the end of the process. The system removes it then.
func lockFile(name string) (unlock func() error, err error) {
	path, err := syscall.UTF16PtrFromString(name)
	if err != nil {
		return nil, err
	}
	const exclusive = 0
	h, err := syscall.CreateFile(path, syscall.GENERIC_READ|syscall.GENERIC_WRITE, exclusive, nil,
		syscall.OPEN_ALWAYS, syscall.FILE_ATTRIBUTE_NORMAL|fileFlagDeleteOnClose, 0)
	if errors.Is(err, errSharingViolation) {
		return nil, fmt.Errorf("%w (%s)", ErrCheckpointLocked, name)
	}
	if err != nil {
		return nil, &os.PathError{Op: "lock", Path: name, Err: err}
	}
	return func() error { return syscall.CloseHandle(h) }, nil
}

// syncDir does nothing: Windows has no such call, and NTFS logs renames.
func (*FileCheckpointStore) syncDir(string) error { return nil }
