package oraclemarket

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestChunkDigest(t *testing.T) {
	t.Parallel()
	sum := func(n int) string { return fmt.Sprintf("%032x", n*n) }
	numbers := rand.New(rand.NewPCG(1, 2)).Perm(100)
	var forth, back chunkDigest
	for i := range 100 {
		forth.add(i, sum(i))
		back.add(numbers[i], sum(numbers[i]))
	}
	require.Equal(t, forth, back, "in any order")
	swapped := chunkDigest{}
	for i := range 100 {
		swapped.add(i, sum((i+1)%100))
	}
	require.NotEqual(t, forth, swapped, "each hash at its place")
	var fewer chunkDigest
	for i := range 99 {
		fewer.add(i, sum(i))
	}
	require.NotEqual(t, forth, fewer)

	text, err := forth.MarshalText()
	require.NoError(t, err)
	var again chunkDigest
	require.NoError(t, again.UnmarshalText(text))
	require.Equal(t, forth, again)
	for _, wrong := range []string{"", "0", "zz", strings.Repeat("0", 62), strings.Repeat("0", 66), strings.Repeat("g", 64)} {
		require.Error(t, again.UnmarshalText([]byte(wrong)))
	}
}

// The file system vouches for a file that nobody touched, and only for that.
func TestIdentity(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "image")
	later := time.Now().Add(time.Minute)
	of := func(path string) string {
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.Empty(t, identity(info, time.Now()), "too fresh")
		return identity(info, later)
	}
	require.NoError(t, os.WriteFile(path, []byte("one"), 0o600))
	first := of(path)
	if runtime.GOOS != "linux" && runtime.GOOS != "darwin" {
		require.Empty(t, first)
		return
	}
	require.NotEmpty(t, first)
	require.Equal(t, first, of(path))

	// Another content of the same size, with the times put back.
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		require.NoError(t, os.WriteFile(path, []byte("two"), 0o600))
		require.NoError(t, os.Chtimes(path, info.ModTime(), info.ModTime()))
		return of(path) != first
	}, 10*time.Second, time.Millisecond, "the clock of the file system ticks")

	require.NoError(t, os.Rename(path, path+".old"))
	second := of(path + ".old")
	copied, err := os.ReadFile(path + ".old")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, copied, 0o600))
	require.NotEqual(t, second, of(path))

	dir, err := os.Stat(filepath.Dir(path))
	require.NoError(t, err)
	require.Empty(t, identity(dir, later))
}

func TestCanSeek(t *testing.T) {
	t.Parallel()
	for mode, want := range map[os.FileMode]bool{
		0o600: true, os.ModeDevice | 0o660: true, os.ModeDevice | os.ModeCharDevice: false,
		os.ModeDir: false, os.ModeNamedPipe: false, os.ModeSocket: false, os.ModeIrregular: false,
	} {
		require.Equal(t, want, canSeek(mode), mode)
	}
}

// What is hashed is what was sent from the start to the end, whatever was sent
// before.
func TestSentReader(t *testing.T) {
	t.Parallel()
	data := []byte("0123456789")
	r := &sentReader{ReaderAt: bytes.NewReader(data)}
	require.Empty(t, r.sum(10), "nothing was sent")
	read := func(n int64) {
		_, err := io.Copy(io.Discard, io.NewSectionReader(r, 0, n))
		require.NoError(t, err)
	}
	read(4)
	require.Empty(t, r.sum(10), "a part")
	read(10)
	require.Equal(t, "84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882", r.sum(10))
	_, err := r.ReadAt(make([]byte, 3), 5)
	require.NoError(t, err)
	require.NotEmpty(t, r.sum(10))
}
