package oraclemarket

import (
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestLockFile(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "key.lock")
	unlock, err := lockFile(name)
	require.NoError(t, err)
	_, err = lockFile(name)
	require.ErrorIs(t, err, ErrCheckpointLocked)
	require.ErrorContains(t, err, name)
	require.NoError(t, unlock())
	require.NoFileExists(t, name)

	// What a killed process left is no lock.
	require.NoError(t, os.WriteFile(name, nil, 0o600))
	unlock, err = lockFile(name)
	require.NoError(t, err)
	require.NoError(t, unlock())
	require.NoFileExists(t, name)

	// Somebody tidied up meanwhile, where the system lets them.
	unlock, err = lockFile(name)
	require.NoError(t, err)
	_ = os.Remove(name)
	require.NoError(t, unlock())
}

// Never two holders, even while the file is removed and made again.
func TestLockFileExclusive(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "key.lock")
	var holders, held atomic.Int32
	var wg sync.WaitGroup
	began := time.Now()
	for range 4 {
		wg.Go(func() {
			for held.Load() < 1000 && time.Since(began) < time.Second {
				unlock, err := lockFile(name)
				if err != nil {
					continue
				}
				if holders.Add(1) != 1 {
					t.Error("two hold the lock")
				}
				held.Add(1)
				for range 20 { // lets others in, if they can come
					runtime.Gosched()
				}
				holders.Add(-1)
				if err := unlock(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	require.NoFileExists(t, name)
}
