package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"github.com/imagejobs/imagejobs-go/oraclemarket"
)

// resumed is how long the second call of an upload took to get to work.
type resumed struct {
	Checkpoint   int   // bytes
	RequestNanos int64 // until the head of the first request
	ChunkNanos   int64 // until the head of the first chunk
}

// resume begins an upload, marks chunks as acknowledged in its checkpoint, and
// measures a second call up to the header of its first chunk.
func resume(flags *flag.FlagSet) func(context.Context) (any, error) {
	url := flags.String("url", "", "the server")
	file := flags.String("file", "", "the image")
	chunks := flags.Int("chunks", 16384, "how many the image has")
	scattered := flags.Bool("scattered", false, "every other chunk is there, and not the first half")
	sum := flags.Bool("sum", true, "with checksums")
	return func(ctx context.Context) (any, error) {
		client, err := oraclemarket.New("partner@example.com", oraclemarket.StaticToken("token"), oraclemarket.WithBaseURL(*url))
		if err != nil {
			return nil, err
		}
		store := &memoryStore{}
		req := oraclemarket.ImageUpload{
			Application: "wordpress", Version: "OL67", OperatingSystem: "Linux", Checkpoints: store, DisableChecksum: !*sum,
		}
		first, cancel := context.WithCancel(ctx)
		req.Progress = func(oraclemarket.UploadProgress) { cancel() }
		if _, err := client.MachineImages.UploadFile(first, *file, &req); !errors.Is(err, context.Canceled) {
			return nil, fmt.Errorf("the first call: %w", err)
		}
		if err := store.acknowledge(*chunks, *scattered); err != nil {
			return nil, err
		}

		found := &resumed{Checkpoint: len(store.state)}
		second, cancel := context.WithCancel(ctx)
		defer cancel()
		var requests atomic.Int64
		start := time.Now()
		second = httptrace.WithClientTrace(second, &httptrace.ClientTrace{WroteHeaders: func() {
			switch requests.Add(1) {
			case 1:
				found.RequestNanos = time.Since(start).Nanoseconds()
			case 2:
				found.ChunkNanos = time.Since(start).Nanoseconds()
				cancel()
			}
		}})
		req.Progress = nil
		if _, err := client.MachineImages.UploadFile(second, *file, &req); !errors.Is(err, context.Canceled) {
			return nil, fmt.Errorf("the second call: %w", err)
		}
		return found, nil
	}
}

// memoryStore holds one checkpoint.
type memoryStore struct{ state []byte }

func (s *memoryStore) Load(context.Context, string) ([]byte, error) {
	if s.state == nil {
		return nil, fs.ErrNotExist
	}
	return s.state, nil
}

func (s *memoryStore) Save(_ context.Context, _ string, state []byte) error {
	s.state = state
	return nil
}

func (s *memoryStore) Delete(context.Context, string) error { return nil }

// acknowledge rewrites the checkpoint as if half of the chunks were there.
func (s *memoryStore) acknowledge(chunks int, scattered bool) error {
	var sealed struct {
		SHA256 string          `json:"sha256"`
		State  json.RawMessage `json:"state"`
	}
	if err := json.Unmarshal(s.state, &sealed); err != nil {
		return err
	}
	ranges := [][2]int{{1, chunks / 2}}
	if scattered {
		ranges = nil
		for n := 1; n <= chunks; n += 2 {
			ranges = append(ranges, [2]int{n, n})
		}
	}
	list, err := json.Marshal(ranges)
	if err != nil {
		return err
	}
	// The field is left out while it is empty. The digest stays that of no chunks:
	// it is compared only if the file may have changed.
	state := append(sealed.State[:len(sealed.State)-1:len(sealed.State)-1], `,"acknowledged":`...)
	sealed.State = append(append(state, list...), '}')
	sum := sha256.Sum256(sealed.State)
	sealed.SHA256 = hex.EncodeToString(sum[:])
	s.state, err = json.Marshal(sealed)
	return err
}
