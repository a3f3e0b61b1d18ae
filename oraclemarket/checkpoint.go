package oraclemarket

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// Errors of checkpoints, for errors.Is.
var (
	// ErrSourceChanged is a file that is not the one its checkpoint is about,
	// or that changed while it was uploaded. The error names what differs.
	ErrSourceChanged = errors.New("the source changed since the upload began")
	// ErrCheckpointInvalid is a checkpoint that is corrupt, of another upload,
	// or written by a newer version of this package.
	ErrCheckpointInvalid = errors.New("the checkpoint cannot be used")
	// ErrCheckpointLocked is an upload that another process, or another call
	// in this one, is working on.
	ErrCheckpointLocked = errors.New("another upload works with this checkpoint")
)

// CheckpointStore keeps the state of uploads, a few KiB for each, so that a
// later call, process or machine can go on with them. The bytes hold no secret
// and no path. Upload never calls two methods for one key at the same time.
//
// A store that also implements CheckpointLocker keeps two uploads from using
// one checkpoint at once.
type CheckpointStore interface {
	// Load gets what Save stored. With no checkpoint for the key the error
	// matches fs.ErrNotExist.
	Load(ctx context.Context, key string) ([]byte, error)
	// Save stores state in place of what was there, whole or not at all, and
	// returns when it would survive a crash.
	Save(ctx context.Context, key string, state []byte) error
	// Delete removes the checkpoint. That there is none is no error.
	Delete(ctx context.Context, key string) error
}

// CheckpointLocker is a CheckpointStore that can lock a key. A lock must end
// with the process that holds it. When the key is locked already the error
// matches ErrCheckpointLocked.
type CheckpointLocker interface {
	Lock(ctx context.Context, key string) (unlock func() error, err error)
}

// FileCheckpoints keeps checkpoints as files in dir, which is made when it is
// missing. They are written atomically, with mode 0600, and locked while an
// upload works with them. It implements CheckpointLocker.
func FileCheckpoints(dir string) CheckpointStore { return fileCheckpoints{dir} }

type fileCheckpoints struct{ dir string }

func (s fileCheckpoints) path(key, suffix string) (string, error) {
	if s.dir == "" {
		return "", transport.Invalid(pkg, "FileCheckpoints: dir", "must not be empty")
	}
	if err := transport.CheckID(pkg, "checkpoint key", key); err != nil {
		return "", err
	}
	return filepath.Join(s.dir, key+suffix), nil
}

// Load implements CheckpointStore.
func (s fileCheckpoints) Load(_ context.Context, key string) ([]byte, error) {
	name, err := s.path(key, ".json")
	if err != nil {
		return nil, err
	}
	return os.ReadFile(name)
}

// Save implements CheckpointStore. The folder is synced too: a new name is not
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

// Delete implements CheckpointStore.
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

// Lock implements CheckpointLocker.
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

// phase is how far an upload is, as its checkpoint says it.
type phase string

const (
	phaseInitiating phase = "initiating" // the service may have the request, its id is not known
	phaseUploading  phase = "uploading"
	phaseMerging    phase = "merging" // the merge was asked for, its answer is not known
	phaseMerged     phase = "merged"
)

const (
	checkpointFormat = 1
	checkpointKind   = "oraclemarket.upload"
)

// checkpoint is the state of one upload.
type checkpoint struct {
	Format          int       `json:"format"`
	Kind            string    `json:"kind"`
	BaseURL         string    `json:"baseURL"`
	Application     string    `json:"application"`
	Version         string    `json:"version"`
	OperatingSystem string    `json:"operatingSystem"`
	FileName        string    `json:"fileName"`
	Size            int64     `json:"size"`
	ModTime         time.Time `json:"modTime,omitzero"`
	Fingerprint     string    `json:"fingerprint"` // MD5 of the first and the last MiB
	ChunkSize       int64     `json:"chunkSize"`
	FirstChunk      int       `json:"firstChunk"`
	Phase           phase     `json:"phase"`
	InitiatedAt     time.Time `json:"initiatedAt"`
	UploadRequestID int64     `json:"uploadRequestId,omitempty"`
	// Acknowledged chunks as ranges of numbers, both ends included: with
	// chunks sent roughly in order that is a handful, however large the file.
	Acknowledged [][2]int `json:"acknowledged,omitempty"`
}

// sealed is what a store gets. A disk can flip a bit in a number that still
// parses, and a chunk taken for acknowledged would be missing in the image.
type sealed struct {
	SHA256 string          `json:"sha256"`
	State  json.RawMessage `json:"state"`
}

func (c *checkpoint) encode() ([]byte, error) {
	state, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode checkpoint: %w", err)
	}
	return json.Marshal(sealed{SHA256: digest(state), State: state})
}

func digest(state []byte) string {
	sum := sha256.Sum256(state)
	return hex.EncodeToString(sum[:])
}

func decodeCheckpoint(data []byte) (*checkpoint, error) {
	var s sealed
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, invalidCheckpoint("it is corrupt: %v", err)
	}
	// encoding/json is lenient about names and what follows; nothing here is.
	if again, err := json.Marshal(s); err != nil || !bytes.Equal(again, data) {
		return nil, invalidCheckpoint("it is corrupt: it is not as it was written")
	}
	if digest(s.State) != s.SHA256 {
		return nil, invalidCheckpoint("it is corrupt: its checksum does not match")
	}
	c := &checkpoint{}
	if err := json.Unmarshal(s.State, c); err != nil {
		return nil, invalidCheckpoint("it is corrupt: %v", err)
	}
	switch {
	case c.Kind != checkpointKind:
		return nil, invalidCheckpoint("it is of kind %q, not %q", c.Kind, checkpointKind)
	case c.Format > checkpointFormat:
		return nil, invalidCheckpoint("its format %d is newer than %d, which this version knows", c.Format, checkpointFormat)
	case c.Format < 1:
		return nil, invalidCheckpoint("its format %d does not exist", c.Format)
	}
	switch c.Phase {
	case phaseInitiating:
		if c.UploadRequestID != 0 || len(c.Acknowledged) > 0 {
			return nil, invalidCheckpoint("it has chunks or an id before there can be any")
		}
	case phaseUploading, phaseMerging, phaseMerged:
		if c.UploadRequestID < 1 {
			return nil, invalidCheckpoint("it has no upload request id")
		}
	default:
		return nil, invalidCheckpoint("its phase %q is not known", c.Phase)
	}
	return c, nil
}

func invalidCheckpoint(format string, args ...any) error {
	return fmt.Errorf("%w: %s; delete it to start over, after a look with List for the upload request it was about",
		ErrCheckpointInvalid, fmt.Sprintf(format, args...))
}

// chunkSet is which chunks of an upload are acknowledged, by index from 0.
type chunkSet struct {
	have  []bool
	count int
}

func newChunkSet(n int) *chunkSet { return &chunkSet{have: make([]bool, n)} }

func (s *chunkSet) add(i int) {
	if !s.have[i] {
		s.have[i] = true
		s.count++
	}
}

// missing are the indexes of the others.
func (s *chunkSet) missing() []int {
	var out []int
	for i, have := range s.have {
		if !have {
			out = append(out, i)
		}
	}
	return out
}

// ranges are the numbers of the chunks, the first one being first.
func (s *chunkSet) ranges(first int) [][2]int {
	var out [][2]int
	for i, have := range s.have {
		switch {
		case !have:
		case i > 0 && s.have[i-1]:
			out[len(out)-1][1] = first + i
		default:
			out = append(out, [2]int{first + i, first + i})
		}
	}
	return out
}

// addRanges is the reverse of ranges.
func (s *chunkSet) addRanges(ranges [][2]int, first int) error {
	next := first
	for _, r := range ranges {
		if r[0] < next || r[1] < r[0] || r[1] >= first+len(s.have) {
			return invalidCheckpoint("its chunks %d to %d cannot be", r[0], r[1])
		}
		for n := r[0]; n <= r[1]; n++ {
			s.add(n - first)
		}
		next = r[1] + 2 // neighbours would be one range
	}
	return nil
}
