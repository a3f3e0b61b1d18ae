package conformance

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/imagejobs/imagejobs-go/oraclemarket"
)

// imageSize is that of an image where nothing depends on it.
const imageSize = 23

func (e *env) image() (io.ReaderAt, int64) { return zeros{}, max(e.size, imageSize) }

func (e *env) imageUpload() *oraclemarket.ImageUpload {
	file, size := e.image()
	return &oraclemarket.ImageUpload{
		Application: "app", Version: "1.0", OperatingSystem: "Linux", FileName: "image.tar.gz",
		File: file, Size: size,
	}
}

func initiate(ctx context.Context, c oc) (*oraclemarket.Acknowledgement, error) {
	return c.MachineImages.Initiate(ctx, &oraclemarket.InitiateUploadRequest{
		Application: "app", Version: "1.0", OperatingSystem: "Linux", FileName: "image.tar.gz", NumberOfChunks: 1,
	})
}

// withImage is for operations that send an image.
func withImage[T any](call func(context.Context, oc, *env) (T, error)) func(context.Context, *env) (any, error) {
	return func(ctx context.Context, e *env) (any, error) {
		return oracle(func(ctx context.Context, c oc) (T, error) { return call(ctx, c, e) })(ctx, e)
	}
}

func uploadFile(ctx context.Context, c oc, e *env) (*oraclemarket.MachineImageUploadRequest, error) {
	req := e.imageUpload()
	file, err := os.CreateTemp("", "image")
	if err != nil {
		return nil, err
	}
	defer func() { _, _ = file.Close(), os.Remove(file.Name()) }()
	if err := file.Truncate(req.Size); err != nil {
		return nil, err
	}
	req.File, req.Size = nil, 0
	return c.MachineImages.UploadFile(ctx, file.Name(), req)
}

// uploadRange sends the second of two chunks: the first one may have gone with
// the initiate call.
func uploadRange(ctx context.Context, c oc, e *env) (oraclemarket.ChunkRange, error) {
	req := e.imageUpload()
	req.ChunkSize, req.Size = req.Size, 2*req.Size
	sent, err := c.MachineImages.UploadRange(ctx, req, oraclemarket.ChunkRange{UploadRequestID: 10, First: 1, Count: 1})
	if err != nil {
		return oraclemarket.ChunkRange{}, err
	}
	return sent.ChunkRange, nil
}

func mergeRanges(ctx context.Context, c oc, e *env) (*oraclemarket.MachineImageUploadRequest, error) {
	req := e.imageUpload()
	sent := oraclemarket.UploadedRange{
		ChunkRange: oraclemarket.ChunkRange{UploadRequestID: 10, Count: 1},
		Size:       req.Size, ChunkSize: req.Size, Digest: "md5:" + strings.Repeat("0", 64),
	}
	req.File = nil
	return c.MachineImages.MergeRanges(ctx, req, []oraclemarket.UploadedRange{sent})
}

// loginFirst logs in for a call that must not be sent twice: whatever happens
// to the login, the call was never sent.
func loginFirst(tokens func(e *env) oraclemarket.TokenSource) func(context.Context, *env) (any, error) {
	return func(ctx context.Context, e *env) (any, error) {
		c, err := e.oracleClient(tokens(e))
		if err != nil {
			return nil, err
		}
		return initiate(ctx, c)
	}
}

// notFound is the fault that is the end of what is to be deleted.
const notFound = "404 Not Found"

func discard(id int64) func(context.Context, oc, *env) (struct{}, error) {
	return func(ctx context.Context, c oc, e *env) (struct{}, error) {
		req := e.imageUpload()
		req.Checkpoints = unfinished(id)
		return struct{}{}, c.MachineImages.DiscardUpload(ctx, req)
	}
}

// unfinished has the checkpoint of an upload that has this upload request and no
// chunks.
type unfinished int64

func (id unfinished) Load(_ context.Context, key string) ([]byte, error) {
	state := fmt.Appendf(nil, `{"format":2,"kind":"oraclemarket.upload","key":%q,"size":1,"chunkSize":1,"firstChunk":1,`+
		`"phase":"uploading","uploadRequestId":%d,"digest":%q}`, key, id, strings.Repeat("0", 64))
	return fmt.Appendf(nil, `{"sha256":"%x","state":%s}`, sha256.Sum256(state), state), nil
}

func (unfinished) Save(context.Context, string, []byte) error { return nil }

func (unfinished) Delete(context.Context, string) error { return nil }

const storedPath = "mi/app/1.0/Linux/image.tar.gz"

func oracleOperations() []*operation {
	upload := withImage(func(ctx context.Context, c oc, e *env) (*oraclemarket.MachineImageUploadRequest, error) {
		return c.MachineImages.Upload(ctx, e.imageUpload())
	})
	list := []*operation{
		{name: "MachineImages.Create", class: once, upload: true, refuses: true, run: withImage(func(ctx context.Context, c oc, e *env) (*oraclemarket.Acknowledgement, error) {
			file, size := e.image()
			return c.MachineImages.Create(ctx, &oraclemarket.CreateMachineImageRequest{
				Application: "app", Version: "1.0", OperatingSystem: "Linux", FileName: "image.tar.gz",
				File: file, Size: size,
			})
		})},
		{name: "MachineImages.Initiate", class: once, refuses: true, run: oracle(initiate)},
		{name: "MachineImages.UploadChunk", class: repeatable, upload: true, refuses: true, run: withImage(func(ctx context.Context, c oc, e *env) (*oraclemarket.ChunkAcknowledgement, error) {
			file, size := e.image()
			return c.MachineImages.UploadChunk(ctx, 7, &oraclemarket.Chunk{Number: 1, FileName: "image.tar.gz", File: file, Size: size})
		})},
		{name: "MachineImages.Merge", class: repeatable, refuses: true, run: oracle(func(ctx context.Context, c oc) (*oraclemarket.Acknowledgement, error) {
			return c.MachineImages.Merge(ctx, 7)
		})},
		{name: "MachineImages.Get", class: safe, run: oracle(func(ctx context.Context, c oc) (*oraclemarket.MachineImageUploadRequest, error) {
			return c.MachineImages.Get(ctx, 7)
		})},
		{name: "MachineImages.Head", class: safe, content: header, named: true, run: oracle(func(ctx context.Context, c oc) (*oraclemarket.UploadSummary, error) {
			return c.MachineImages.Head(ctx, 7)
		})},
		{name: "MachineImages.List", class: safe, run: oracle(func(ctx context.Context, c oc) (*oraclemarket.MachineImagePage, error) {
			return c.MachineImages.List(ctx, nil)
		})},
		{name: "MachineImages.All", target: "MachineImages.List", class: safe, run: oracle(func(ctx context.Context, c oc) ([]*oraclemarket.MachineImageUploadRequest, error) {
			return collect(c.MachineImages.All(ctx, nil))
		})},
		{name: "MachineImages.Delete", class: repeatable, refuses: true, run: oracle(func(ctx context.Context, c oc) (*oraclemarket.Acknowledgement, error) {
			return c.MachineImages.Delete(ctx, 7, "us2")
		})},
		{name: "MachineImages.DeleteEverywhere", target: "MachineImages.Delete", class: repeatable, refuses: true, run: oracle(func(ctx context.Context, c oc) (*oraclemarket.Acknowledgement, error) {
			return c.MachineImages.DeleteEverywhere(ctx, 7)
		})},
		{name: "MachineImages.Wait", target: "MachineImages.Get", class: safe, patient: true, run: oracle(func(ctx context.Context, c oc) (*oraclemarket.MachineImageUploadRequest, error) {
			return c.MachineImages.Wait(ctx, 7)
		})},
		{name: "MachineImages.Watch", target: "MachineImages.Get", class: safe, patient: true, run: oracle(func(ctx context.Context, c oc) ([]*oraclemarket.MachineImageUploadRequest, error) {
			return collect(c.MachineImages.Watch(ctx, 7))
		})},
		{name: "MachineImages.WaitAll", target: "MachineImages.List", class: safe, patient: true, run: oracle(func(ctx context.Context, c oc) ([]*oraclemarket.MachineImageUploadRequest, error) {
			return c.MachineImages.WaitAll(ctx, []int64{7})
		})},
		{name: "MachineImages.WatchAll", target: "MachineImages.List", class: safe, patient: true, run: oracle(func(ctx context.Context, c oc) ([]*oraclemarket.MachineImageUploadRequest, error) {
			return collect(c.MachineImages.WatchAll(ctx, []int64{7}))
		})},
		{name: "MachineImages.WaitDeleted", target: "MachineImages.GetDeleted", class: safe, patient: true, apart: []string{notFound}, run: oracle(func(ctx context.Context, c oc) (*oraclemarket.MachineImageUploadRequest, error) {
			return c.MachineImages.WaitDeleted(ctx, 9)
		})},
		{name: "MachineImages.DiscardUpload", of: "state", target: "MachineImages.GetDeleted", class: safe, patient: true, apart: []string{notFound}, run: withImage(discard(9))},
		{name: "MachineImages.DiscardUpload", of: "delete", target: "MachineImages.DeleteUnfinished", class: repeatable, patient: true, refuses: true, apart: []string{notFound}, run: withImage(discard(10))},
		{name: "MachineImages.Upload", of: "initiate", target: "MachineImages.Initiate", class: adopted, refuses: true, run: upload},
		{name: "MachineImages.Upload", of: "chunk", target: "MachineImages.UploadChunk", class: repeatable, upload: true, patient: true, gated: true, refuses: true, run: upload},
		{name: "MachineImages.Upload", of: "merge", target: "MachineImages.Merge", class: adopted, looks: true, refuses: true, run: upload},
		{name: "MachineImages.Upload", of: "wait", target: "MachineImages.Get", reuses: true, class: safe, patient: true, run: upload},
		{name: "MachineImages.UploadFile", of: "initiate", target: "MachineImages.Initiate", class: adopted, refuses: true, run: withImage(uploadFile)},
		{name: "MachineImages.UploadFile", of: "chunk", target: "MachineImages.UploadChunk", class: repeatable, upload: true, patient: true, gated: true, refuses: true, run: withImage(uploadFile)},
		{name: "MachineImages.UploadRange", of: "state", target: "MachineImages.GetUnfinished", class: safe, patient: true, run: withImage(uploadRange)},
		{name: "MachineImages.UploadRange", of: "chunk", target: "MachineImages.UploadChunkUnfinished", class: repeatable, upload: true, patient: true, gated: true, refuses: true, run: withImage(uploadRange)},
		{name: "MachineImages.MergeRanges", of: "merge", target: "MachineImages.MergeUnfinished", class: adopted, looks: true, refuses: true, run: withImage(mergeRanges)},
		{name: "StorageImages.List", class: safe, run: oracle(func(ctx context.Context, c oc) (*oraclemarket.MachineImagePage, error) {
			return c.StorageImages.List(ctx, nil)
		})},
		{name: "StorageImages.All", target: "StorageImages.List", class: safe, run: oracle(func(ctx context.Context, c oc) ([]*oraclemarket.MachineImageUploadRequest, error) {
			return collect(c.StorageImages.All(ctx, nil))
		})},
		{name: "StorageImages.Get", class: safe, run: oracle(func(ctx context.Context, c oc) (*oraclemarket.StorageImage, error) {
			return c.StorageImages.Get(ctx, storedPath)
		})},
		{name: "StorageImages.Copy", class: once, refuses: true, run: oracle(func(ctx context.Context, c oc) (*oraclemarket.Acknowledgement, error) {
			return c.StorageImages.Copy(ctx, storedPath, &oraclemarket.CopyStorageImageRequest{
				SourceDataCenter: "us2", CopyToDataCenters: []string{"em2"},
			})
		})},
		{name: "ClientCredentials", target: "Authenticate", class: safe, login: true, run: loginFirst(func(*env) oraclemarket.TokenSource {
			return oraclemarket.ClientCredentials(keyID, keySecret)
		})},
		{name: "OAMClientCredentials", target: "OAMToken", class: safe, login: true, run: loginFirst(func(e *env) oraclemarket.TokenSource {
			return oraclemarket.OAMClientCredentials(e.base+"/oam/oauth2/tokens", "domain", keyID, keySecret)
		})},
	}
	for _, o := range list {
		o.pkg = "oraclemarket"
	}
	return list
}
