package main

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"hash"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"sync/atomic"
	"time"

	md5simd "github.com/minio/md5-simd"

	"github.com/imagejobs/imagejobs-go/oraclemarket"
)

// job is one upload, by any contender.
type job struct {
	how, url, file string
	parallel       int
	chunk          int64
	sum            string // md5, simd or none
	checkpoints    string
	profile, block string
	lasts          time.Duration // it is interrupted then, 0 for never
	source         string        // path, reader or slow
}

// saves is the cost of the checkpoints of an upload.
type saves struct {
	Saves     int64
	SaveNanos int64
	Nanos     int64 // of the upload
	// Acknowledged is how many bytes were, when the upload was interrupted.
	Acknowledged int64
}

func upload(flags *flag.FlagSet) func(context.Context) (any, error) {
	var j job
	flags.StringVar(&j.how, "how", "sdk", "sdk, raw, sendfile or naive")
	flags.StringVar(&j.url, "url", "", "the server")
	flags.StringVar(&j.file, "file", "", "the image")
	flags.IntVar(&j.parallel, "parallel", 4, "chunks under way at once")
	flags.Int64Var(&j.chunk, "chunk", 64<<20, "bytes of a chunk")
	flags.StringVar(&j.sum, "sum", "md5", "md5, simd or none")
	flags.StringVar(&j.checkpoints, "checkpoints", "", "folder for checkpoints; none if empty")
	flags.StringVar(&j.profile, "cpuprofile", "", "where to write a CPU profile")
	flags.StringVar(&j.block, "blockprofile", "", "where to write a profile of blocked goroutines")
	flags.DurationVar(&j.lasts, "for", 0, "how long until the upload is interrupted; 0 for never")
	flags.StringVar(&j.source, "source", "path", "how the SDK gets the image: path, reader or slow, a ReaderAt that takes a millisecond a read")
	return func(ctx context.Context) (any, error) {
		if j.profile != "" {
			f, err := os.Create(j.profile)
			if err != nil {
				return nil, err
			}
			defer f.Close()
			if err := pprof.StartCPUProfile(f); err != nil {
				return nil, err
			}
			defer pprof.StopCPUProfile()
		}
		if j.block != "" {
			f, err := os.Create(j.block)
			if err != nil {
				return nil, err
			}
			defer f.Close()
			runtime.SetBlockProfileRate(1)
			defer func() { _ = pprof.Lookup("block").WriteTo(f, 0) }()
		}
		start := time.Now()
		found := &saves{}
		var err error
		switch j.how {
		case "sdk":
			err = j.sdk(ctx, found)
		case "raw", "sendfile":
			err = j.raw()
		case "naive":
			err = j.naive(ctx)
		default:
			err = fmt.Errorf("unknown way %q", j.how)
		}
		found.Nanos = time.Since(start).Nanoseconds()
		return found, err
	}
}

func (j *job) sdk(ctx context.Context, found *saves) error {
	client, err := oraclemarket.New("partner@example.com", oraclemarket.StaticToken("token"), oraclemarket.WithBaseURL(j.url))
	if err != nil {
		return err
	}
	req := &oraclemarket.ImageUpload{
		Application: "wordpress", Version: "OL67", OperatingSystem: "Linux",
		ChunkSize: j.chunk, Concurrency: j.parallel, DisableChecksum: j.sum == "none",
	}
	if j.sum == "simd" {
		server := md5simd.NewServer()
		defer server.Close()
		req.NewMD5 = func() hash.Hash { return simd{server.NewHash()} }
	}
	if j.checkpoints != "" {
		req.Checkpoints = &timed{CheckpointStore: oraclemarket.FileCheckpoints(j.checkpoints), found: found}
	}
	if j.lasts > 0 {
		interrupted, cancel := context.WithTimeout(ctx, j.lasts)
		defer cancel()
		req.Progress = func(p oraclemarket.UploadProgress) { found.Acknowledged = p.Bytes }
		_, err = client.MachineImages.UploadFile(interrupted, j.file, req)
		if errors.Is(err, context.DeadlineExceeded) {
			err = nil
		}
		return err
	}
	if j.source == "path" {
		_, err = client.MachineImages.UploadFile(ctx, j.file, req)
		return err
	}
	f, err := os.Open(j.file)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	req.FileName, req.Size = filepath.Base(j.file), info.Size()
	switch j.source {
	case "reader":
		req.Reader = onlyReader{f}
	case "slow":
		req.File = slowReader{f}
	default:
		return fmt.Errorf("unknown source %q", j.source)
	}
	_, err = client.MachineImages.Upload(ctx, req)
	return err
}

// onlyReader is a pipe, as far as anybody can see.
type onlyReader struct{ io.Reader }

// slowReader is a disk over a network.
type slowReader struct{ io.ReaderAt }

func (r slowReader) ReadAt(p []byte, offset int64) (int, error) {
	time.Sleep(time.Millisecond)
	return r.ReaderAt.ReadAt(p, offset)
}

// simd releases its lane with the sum, after which nobody uses it.
type simd struct{ md5simd.Hasher }

func (h simd) Sum(b []byte) []byte {
	defer h.Close()
	return h.Hasher.Sum(b)
}

// timed is a CheckpointStore that measures Save.
type timed struct {
	oraclemarket.CheckpointStore

	found *saves
}

func (t *timed) Save(ctx context.Context, key string, state []byte) error {
	start := time.Now()
	defer func() {
		atomic.AddInt64(&t.found.Saves, 1)
		atomic.AddInt64(&t.found.SaveNanos, time.Since(start).Nanoseconds())
	}()
	return t.CheckpointStore.Save(ctx, key, state)
}

// raw is the floor: it sends the same chunks over as many sockets, each after an
// MD5 pass if one is asked for, and does nothing else.
func (j *job) raw() error {
	f, err := os.Open(j.file)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	target, err := url.Parse(j.url)
	if err != nil {
		return err
	}
	var next atomic.Int64
	done := make(chan error, j.parallel)
	for range j.parallel {
		go func() {
			done <- j.rawChunks(target, f, func() (offset, size int64) {
				offset = (next.Add(1) - 1) * j.chunk
				return offset, min(j.chunk, info.Size()-offset)
			})
		}()
	}
	for range j.parallel {
		if e := <-done; e != nil {
			err = e
		}
	}
	return err
}

func (j *job) rawChunks(target *url.URL, f *os.File, next func() (offset, size int64)) error {
	c, err := dial(target)
	if err != nil {
		return err
	}
	defer c.Close()
	buf := make([]byte, 128<<10)
	response := make([]byte, 1024)
	for {
		offset, size := next()
		if size <= 0 {
			return nil
		}
		sum := ""
		if j.sum == "md5" {
			h := md5.New()
			if _, err := io.CopyBuffer(h, io.NewSectionReader(f, offset, size), buf); err != nil {
				return err
			}
			sum = hex.EncodeToString(h.Sum(nil))
		}
		if _, err := fmt.Fprintf(c, "POST /x/chunk HTTP/1.1\r\nContent-Length: %d\r\nX-MD5-Checksum: %s\r\n\r\n", size, sum); err != nil {
			return err
		}
		if j.how == "sendfile" {
			err = sendfile(c, j.file, offset, size)
		} else {
			_, err = io.CopyBuffer(onlyWriter{c}, io.NewSectionReader(f, offset, size), buf)
		}
		if err != nil {
			return err
		}
		if _, err := c.Read(response); err != nil { // comes in one piece
			return err
		}
	}
}

// onlyWriter hides ReadFrom, which would choose a buffer of its own.
type onlyWriter struct{ io.Writer }

func sendfile(c net.Conn, file string, offset, size int64) error {
	f, err := os.Open(file) // sendfile uses the file's own position
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return err
	}
	_, err = io.Copy(c, io.LimitReader(f, size))
	return err
}

func dial(target *url.URL) (net.Conn, error) {
	if target.Scheme == "https" {
		return tls.Dial("tcp", target.Host, &tls.Config{MinVersion: tls.VersionTLS12})
	}
	return net.Dial("tcp", target.Host)
}

// naive is the obvious program: it writes the form to a buffer and posts that.
func (j *job) naive(ctx context.Context) error {
	f, err := os.Open(j.file)
	if err != nil {
		return err
	}
	defer f.Close()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("file", filepath.Base(j.file))
	if err != nil {
		return err
	}
	if _, err := io.Copy(part, f); err != nil {
		return err
	}
	if err := form.Close(); err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, j.url+"/appstore/publisher/v1/machineimages", &body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", form.FormDataContentType())
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}
