package oraclemarket

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// phase is how far an upload is.
type phase string

const (
	phaseInitiating phase = "initiating" // the service may have the upload request, its id is not known
	phaseUploading  phase = "uploading"
	phaseMerging    phase = "merging" // the merge was requested, its response is not known
	phaseMerged     phase = "merged"
)

const (
	checkpointFormat = 2
	checkpointKind   = "oraclemarket.upload"
)

// checkpoint is the state of one upload.
type checkpoint struct {
	Format          int    `json:"format"`
	Kind            string `json:"kind"`
	Key             string `json:"key"`
	BaseURL         string `json:"baseURL"`
	Application     string `json:"application"`
	Version         string `json:"version"`
	OperatingSystem string `json:"operatingSystem"`
	FileName        string `json:"fileName"`

	Size        int64  `json:"size"`
	Fingerprint string `json:"fingerprint"`        // of the first and the last MiB
	Identity    string `json:"identity,omitempty"` // shows that the file of the acknowledged chunks has not changed
	ChunkSize   int64  `json:"chunkSize"`
	FirstChunk  int    `json:"firstChunk"`
	NoChecksum  bool   `json:"noChecksum,omitempty"` // the digest is of SHA-256, not MD5

	Phase phase `json:"phase"`
	// InitiatedAt and LastInitiateAt are when the first and the last initiate
	// call began, by the clock of the machine that made it.
	InitiatedAt     time.Time `json:"initiatedAt"`
	LastInitiateAt  time.Time `json:"lastInitiateAt,omitzero"`
	UploadRequestID int64     `json:"uploadRequestId,omitempty"`
	// Abandoned are upload requests that this one replaces, because their chunks
	// were too large.
	Abandoned []int64 `json:"abandoned,omitempty"`
	// First is the hash of the first chunk, if that goes with the initiate call.
	First string `json:"first,omitempty"`
	// Acknowledged has ranges of chunk numbers, both ends included: as chunks
	// are sent roughly in order that is a handful, however large the file.
	Acknowledged [][2]int `json:"acknowledged,omitempty"`
	// Digest is over the acknowledged chunks. A resume proves with it that they
	// are of the file that it has.
	Digest chunkDigest `json:"digest"`
	// Sent has the MD5s of chunks that were sent but not acknowledged, by number.
	// Some may be missing after a crash, and all without checksums.
	Sent map[int]string `json:"sent,omitempty"`
	// Touched means that the file system did not show that an earlier call had the
	// same file.
	Touched bool `json:"touched,omitempty"`
	// Unproven means that chunks were sent before the acknowledged ones were
	// proven: the service may have others, of another file.
	Unproven bool `json:"unproven,omitempty"`
}

// sealed is what a store keeps. A disk can flip a bit in a number that still
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
	return json.Marshal(sealed{SHA256: seal(state), State: state})
}

func seal(state []byte) string {
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
		return nil, invalidCheckpoint("it is corrupt: it is not in the form that this version writes")
	}
	if seal(s.State) != s.SHA256 {
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
		return nil, invalidCheckpoint("its format %d is newer than %d, which this version reads", c.Format, checkpointFormat)
	case c.Format < checkpointFormat:
		return nil, invalidCheckpoint("its format %d is older than %d, which this version reads", c.Format, checkpointFormat)
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
	return fmt.Errorf("%w: %s; delete it to start over, and its upload request, which List shows",
		ErrCheckpointInvalid, fmt.Sprintf(format, args...))
}

// chunkSet has the acknowledged chunks of an upload, by index from 0.
type chunkSet struct {
	have  []bool
	count int
}

func newChunkSet(n int) *chunkSet { return &chunkSet{have: make([]bool, n)} }

func (s *chunkSet) clone() *chunkSet { return &chunkSet{slices.Clone(s.have), s.count} }

func (s *chunkSet) add(i int) {
	if !s.have[i] {
		s.have[i] = true
		s.count++
	}
}

// missing returns the indexes of the others.
func (s *chunkSet) missing() []int {
	var out []int
	for i, have := range s.have {
		if !have {
			out = append(out, i)
		}
	}
	return out
}

// ranges returns the numbers of the chunks, where that of the first is first.
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
			return invalidCheckpoint("its chunks %d to %d are out of range", r[0], r[1])
		}
		for n := r[0]; n <= r[1]; n++ {
			s.add(n - first)
		}
		next = r[1] + 2 // neighbors would be one range
	}
	return nil
}
