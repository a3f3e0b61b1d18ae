package oraclemarket_test

import (
	"crypto/md5"
	"encoding/hex"
	"io"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// builds are two files of one size and time with the same first and last MiB.
type builds struct {
	path  string
	size  int64
	seeds [2]byte // of what is between
	sums  [2]string
	time  time.Time
	other bool // which one is there
}

func newBuilds(t *testing.T, path string, random *rand.Rand, size int64) *builds {
	t.Helper()
	seed := byte(random.Uint32())
	b := &builds{path: path, size: size, seeds: [2]byte{seed, seed + 1}, time: time.Unix(1528777730, 0)}
	for i, middle := range b.seeds {
		h := md5.New()
		_, err := io.Copy(h, io.MultiReader(content(seed+2, mib), content(middle, size-2*mib), content(seed+3, mib)))
		require.NoError(t, err)
		b.sums[i] = hex.EncodeToString(h.Sum(nil))
	}
	b.write(t, 0, content(seed+2, mib))
	b.write(t, mib, content(seed, size-2*mib))
	b.write(t, size-mib, content(seed+3, mib))
	return b
}

// content is n bytes, the same ones for a seed.
func content(seed byte, n int64) io.Reader {
	return io.LimitReader(rand.NewChaCha8([32]byte{seed}), n)
}

// use makes the file the first build or the other one.
func (b *builds) use(t *testing.T, other bool) {
	t.Helper()
	if b.other == other {
		return
	}
	b.other = other
	seed := b.seeds[0]
	if other {
		seed = b.seeds[1]
	}
	b.write(t, mib, content(seed, b.size-2*mib))
}

func (b *builds) write(t *testing.T, offset int64, from io.Reader) {
	t.Helper()
	f, err := os.OpenFile(b.path, os.O_WRONLY|os.O_CREATE, 0o600)
	require.NoError(t, err)
	_, err = io.Copy(io.NewOffsetWriter(f, offset), from)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	require.NoError(t, os.Chtimes(b.path, b.time, b.time))
}
