package oraclemarket

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func sampleCheckpoint() *checkpoint {
	return &checkpoint{
		Format: checkpointFormat, Kind: checkpointKind,
		BaseURL:     "https://ocm-apis-cloud.oracle.com",
		Application: "wordpress <&> \"1\"", Version: "OL67", OperatingSystem: "Linux", FileName: "образ.tar.gz",
		Key:  "oraclemarket-0123456789abcdef0123456789abcdef",
		Size: 10_500, Fingerprint: strings.Repeat("0f", 16), Identity: strings.Repeat("1e", 16),
		ChunkSize: 1000, FirstChunk: 1, Phase: phaseUploading,
		InitiatedAt: time.Unix(1528777731, 7).UTC(), UploadRequestID: 2797087,
		LastInitiateAt: time.Unix(1528777761, 0).UTC(), Acknowledged: [][2]int{{1, 3}, {7, 7}, {9, 11}},
		Digest: chunkDigest{1, 2, 3, 1<<64 - 1}, Unproven: true,
	}
}

func encoded(tb testing.TB, c *checkpoint) []byte {
	tb.Helper()
	data, err := c.encode()
	require.NoError(tb, err)
	return data
}

func TestCheckpointRoundTrip(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*checkpoint){
		"uploading": func(*checkpoint) {},
		"merging":   func(c *checkpoint) { c.Phase, c.Acknowledged = phaseMerging, [][2]int{{1, 11}} },
		"merged":    func(c *checkpoint) { c.Phase = phaseMerged },
		"initiating": func(c *checkpoint) {
			c.Phase, c.UploadRequestID, c.Acknowledged = phaseInitiating, 0, nil
		},
		"no times": func(c *checkpoint) { c.LastInitiateAt, c.InitiatedAt = time.Time{}, time.Time{} },
		"largest":  func(c *checkpoint) { c.Size, c.ChunkSize, c.UploadRequestID = 1<<62, 1<<42, 1<<62 },
	} {
		c := sampleCheckpoint()
		change(c)
		again, err := decodeCheckpoint(encoded(t, c))
		require.NoError(t, err, name)
		require.Equal(t, c, again, name)
	}
}

func TestCheckpointTruncated(t *testing.T) {
	t.Parallel()
	data := encoded(t, sampleCheckpoint())
	for n := range data {
		_, err := decodeCheckpoint(data[:n])
		require.ErrorIs(t, err, ErrCheckpointInvalid, "after %d bytes", n)
	}
	for _, other := range []string{"", "\x00", "null", "{}", "[]", `""`, "0", `{"sha256":"","state":null}`} {
		_, err := decodeCheckpoint([]byte(other))
		require.ErrorIs(t, err, ErrCheckpointInvalid, other)
	}
	for _, more := range []string{" ", "\n", "{}", "\x00", string(data)} {
		_, err := decodeCheckpoint(append(slices.Clip(data), more...))
		require.ErrorIs(t, err, ErrCheckpointInvalid, more)
	}
}

func TestCheckpointBitFlips(t *testing.T) {
	t.Parallel()
	data := encoded(t, sampleCheckpoint())
	for i := range data {
		for bit := range 8 {
			flipped := append([]byte(nil), data...)
			flipped[i] ^= 1 << bit
			if _, err := decodeCheckpoint(flipped); !errors.Is(err, ErrCheckpointInvalid) {
				t.Fatalf("bit %d of byte %d: %v", bit, i, err)
			}
		}
	}
}

func TestCheckpointForeign(t *testing.T) {
	t.Parallel()
	for text, change := range map[string]func(*checkpoint){
		"its format 3 is newer than 2, which this version reads":        func(c *checkpoint) { c.Format = 3 },
		"its format 1 is older than 2, which this version reads":        func(c *checkpoint) { c.Format = 1 },
		`it is of kind "other.upload", not "oraclemarket.upload"`:       func(c *checkpoint) { c.Kind = "other.upload" },
		`its phase "paused" is not known`:                               func(c *checkpoint) { c.Phase = "paused" },
		"it has no upload request id":                                   func(c *checkpoint) { c.UploadRequestID = 0 },
		"it has chunks or an id before there can be any":                func(c *checkpoint) { c.Phase = phaseInitiating },
		"it is corrupt: json: cannot unmarshal string into Go struct f": nil,
	} {
		state := []byte(`{"format":"1"}`)
		data := fmt.Appendf(nil, `{"sha256":%q,"state":%s}`, seal(state), state)
		if change != nil {
			c := sampleCheckpoint()
			change(c)
			data = encoded(t, c)
		}
		_, err := decodeCheckpoint(data)
		require.ErrorIs(t, err, ErrCheckpointInvalid)
		require.ErrorContains(t, err, text)
		require.ErrorContains(t, err, "; delete it to start over, and its upload request, which List shows")
	}
}

func FuzzDecodeCheckpoint(f *testing.F) {
	f.Add(encoded(f, sampleCheckpoint()))
	initiating := sampleCheckpoint()
	initiating.Phase, initiating.UploadRequestID, initiating.Acknowledged = phaseInitiating, 0, nil
	f.Add(encoded(f, initiating))
	f.Add([]byte(`{"sha256":"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","state":{}}`))
	f.Add([]byte(`{}`))
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		// As it is, and as the state of a checkpoint that is not corrupt.
		for _, data := range [][]byte{data, sealedState(data)} {
			c, err := decodeCheckpoint(data)
			if err != nil {
				require.ErrorIs(t, err, ErrCheckpointInvalid)
				require.Nil(t, c)
				continue
			}
			again, err := decodeCheckpoint(encoded(t, c))
			require.NoError(t, err)
			require.True(t, reflect.DeepEqual(c, again) || jsonEqual(c, again))
			// Whatever ranges it has, they are refused or taken, and never
			// panic.
			set := newChunkSet(16)
			if set.addRanges(c.Acknowledged, c.FirstChunk) == nil {
				require.LessOrEqual(t, set.count, 16)
				require.Len(t, set.ranges(c.FirstChunk), len(c.Acknowledged))
			}
		}
	})
}

func sealedState(state []byte) []byte {
	if !json.Valid(state) {
		return nil
	}
	compact, err := json.Marshal(json.RawMessage(state))
	if err != nil {
		return nil
	}
	data, err := json.Marshal(sealed{SHA256: seal(compact), State: compact})
	if err != nil {
		return nil
	}
	return data
}

// jsonEqual also takes times of one moment in two zones for equal.
func jsonEqual(a, b *checkpoint) bool {
	first, err1 := json.Marshal(a)
	second, err2 := json.Marshal(b)
	return err1 == nil && err2 == nil && bytes.Equal(first, second)
}

func TestChunkSetRanges(t *testing.T) {
	t.Parallel()
	for _, first := range []int{0, 1} {
		for trial := range 200 {
			random := rand.New(rand.NewPCG(uint64(trial), uint64(first)))
			set := newChunkSet(1 + random.IntN(40))
			for range random.IntN(60) {
				set.add(random.IntN(len(set.have)))
			}
			again := newChunkSet(len(set.have))
			require.NoError(t, again.addRanges(set.ranges(first), first))
			require.Equal(t, set, again)
			require.Len(t, set.missing(), len(set.have)-set.count)
			for _, i := range set.missing() {
				require.False(t, set.have[i])
			}
		}
	}
	const n, first = 10, 1
	for name, ranges := range map[string][][2]int{
		"below the first":   {{0, 3}},
		"past the last":     {{9, 11}},
		"backwards":         {{3, 2}},
		"out of order":      {{5, 6}, {1, 2}},
		"overlapping":       {{1, 4}, {4, 6}},
		"twice":             {{1, 1}, {1, 1}},
		"neighbors":         {{1, 2}, {3, 4}},
		"negative":          {{-5, -1}},
		"large":             {{1, math.MaxInt/2 + 1}},
		"far past the last": {{math.MaxInt/2 + 1, math.MaxInt/2 + 2}},
		"largest":           {{math.MaxInt, math.MaxInt}},
	} {
		require.ErrorIs(t, newChunkSet(n).addRanges(ranges, first), ErrCheckpointInvalid, name)
	}
}

// A terabyte in the default chunks: the checkpoint stays small.
func TestCheckpointSize(t *testing.T) {
	t.Parallel()
	const size, chunks = 1 << 40, 1 << 14
	c := sampleCheckpoint()
	c.Size, c.ChunkSize = size, maxDefaultChunk
	most := func(parallel int) int {
		random := rand.New(rand.NewPCG(1, 2))
		set := newChunkSet(chunks)
		var under []int // way, at once
		longest := 0
		for next := 0; next < chunks || len(under) > 0; {
			for len(under) < parallel && next < chunks {
				under = append(under, next)
				next++
			}
			i := random.IntN(len(under))
			set.add(under[i])
			under = append(under[:i], under[i+1:]...)
			if set.count%64 == 0 {
				c.Acknowledged = set.ranges(c.FirstChunk)
				require.LessOrEqual(t, len(c.Acknowledged), parallel)
				longest = max(longest, len(encoded(t, c)))
			}
		}
		require.Equal(t, chunks, set.count)
		return longest
	}
	require.Less(t, most(1), 800)
	require.Less(t, most(8), 1000)
	require.Less(t, most(64), 4<<10)
}

func TestDoneBytes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		size, chunk int64
		done        []int
		bytes       int64
	}{
		{1, 1 << 62, []int{0}, 1},
		{10, 4, nil, 0},
		{10, 4, []int{0, 1}, 8},
		{10, 4, []int{2}, 2},
		{12, 4, []int{2}, 4},
		{10, 4, []int{0, 1, 2}, 10},
		{1<<63 - 1, 1<<62 + 1, []int{0, 1}, 1<<63 - 1},
	} {
		u := &upload{state: &checkpoint{Size: test.size, ChunkSize: test.chunk}}
		u.done = newChunkSet(u.chunks())
		for _, i := range test.done {
			u.done.add(i)
		}
		require.Equal(t, test.bytes, u.doneBytes(), test)
	}
}

func TestFileCheckpoints(t *testing.T) {
	t.Parallel()
	ctx, dir := t.Context(), filepath.Join(t.TempDir(), "made", "by us")
	store := FileCheckpoints(dir)
	_, err := store.Load(ctx, "key")
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NoError(t, store.Delete(ctx, "key"), "nothing to delete")

	require.NoError(t, store.Save(ctx, "key", []byte("one")))
	state, err := store.Load(ctx, "key")
	require.NoError(t, err)
	require.Equal(t, "one", string(state))
	info, err := os.Stat(filepath.Join(dir, "key.json"))
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o600), info.Mode())

	// What a crash in the middle of a save left, even for all to read.
	temp := filepath.Join(dir, "key.tmp")
	require.NoError(t, os.WriteFile(temp, []byte("two, unfinis"), 0o644))
	state, err = store.Load(ctx, "key")
	require.NoError(t, err)
	require.Equal(t, "one", string(state))
	require.NoError(t, store.Save(ctx, "key", []byte("2")))
	state, err = store.Load(ctx, "key")
	require.NoError(t, err)
	require.Equal(t, "2", string(state))
	info, err = os.Stat(filepath.Join(dir, "key.json"))
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o600), info.Mode(), "not the mode of what was left")
	require.NoFileExists(t, temp)

	require.NoError(t, os.WriteFile(temp, nil, 0o600))
	require.NoError(t, store.Delete(ctx, "key"))
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)

	for _, key := range []string{"", ".", "..", "a/b", `a\b`} {
		require.ErrorIs(t, store.Save(ctx, key, nil), ErrInvalidArgument, key)
	}
	none := FileCheckpoints("")
	_, err = none.Load(ctx, "key")
	require.ErrorIs(t, err, ErrInvalidArgument)
	require.ErrorIs(t, none.Save(ctx, "key", nil), ErrInvalidArgument)
	require.ErrorIs(t, none.Delete(ctx, "key"), ErrInvalidArgument)
}

// A save that fails leaves the state before it, and nothing else.
func TestFileCheckpointsFailedSave(t *testing.T) {
	t.Parallel()
	ctx, dir := t.Context(), t.TempDir()
	store := FileCheckpoints(dir)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "key.json"), 0o700)) // cannot be replaced by a file
	require.Error(t, store.Save(ctx, "key", []byte("state")))
	require.NoFileExists(t, filepath.Join(dir, "key.tmp"))

	below := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(below, nil, 0o600))
	store = FileCheckpoints(filepath.Join(below, "dir"))
	require.Error(t, store.Save(ctx, "key", nil))
	_, err := store.Lock(ctx, "key")
	require.Error(t, err)
	require.NotErrorIs(t, err, ErrCheckpointLocked)
}

// A Load during a Save returns the state before or the new one.
func TestFileCheckpointsAtomic(t *testing.T) {
	t.Parallel()
	ctx, store := context.WithoutCancel(t.Context()), FileCheckpoints(t.TempDir())
	long, short := sampleCheckpoint(), sampleCheckpoint()
	long.FileName = strings.Repeat("x", 100_000)
	states := [][]byte{encoded(t, long), encoded(t, short)}
	require.NoError(t, store.Save(ctx, "key", states[0]))
	var wg sync.WaitGroup
	stop := make(chan struct{})
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			state, err := store.Load(ctx, "key")
			if err == nil {
				_, err = decodeCheckpoint(state)
			}
			if err != nil {
				t.Error(err)
				return
			}
		}
	})
	for i := range 100 {
		require.NoError(t, store.Save(ctx, "key", states[i%2]))
	}
	close(stop)
	wg.Wait()
}

func BenchmarkSave(b *testing.B) {
	for name, set := range map[string]func(*testing.B) CheckpointStore{
		"encode": func(*testing.B) CheckpointStore { return discardStore{} },
		"file":   func(b *testing.B) CheckpointStore { b.Helper(); return FileCheckpoints(b.TempDir()) },
	} {
		b.Run(name, func(b *testing.B) {
			u := &upload{saves: newJoinedSaves(), state: sampleCheckpoint(), req: &ImageUpload{Checkpoints: set(b)}, key: "key"}
			u.state.Size, u.state.ChunkSize = 1<<40, maxDefaultChunk
			u.done = newChunkSet(u.chunks())
			for i := range len(u.done.have) / 2 {
				u.done.add(i)
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := u.save(b.Context(), phaseUploading); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

type discardStore struct{}

func (discardStore) Load(context.Context, string) ([]byte, error) {
	return nil, errors.ErrUnsupported
}
func (discardStore) Save(context.Context, string, []byte) error { return nil }
func (discardStore) Delete(context.Context, string) error       { return nil }

func BenchmarkChunkSet(b *testing.B) {
	set := newChunkSet(1 << 14)
	for i := 0; i < len(set.have); i += 3 {
		set.add(i)
	}
	ranges := set.ranges(1)
	b.Run("ranges", func(b *testing.B) {
		for b.Loop() {
			_ = set.ranges(1)
		}
	})
	b.Run("addRanges", func(b *testing.B) {
		for b.Loop() {
			if err := newChunkSet(1<<14).addRanges(ranges, 1); err != nil {
				b.Fatal(err)
			}
		}
	})
}
