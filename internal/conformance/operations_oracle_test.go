package conformance

import (
	"context"
	"io"
	"os"

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
		{name: "MachineImages.Upload", of: "initiate", target: "MachineImages.Initiate", class: adopted, refuses: true, run: upload},
		{name: "MachineImages.Upload", of: "chunk", target: "MachineImages.UploadChunk", class: repeatable, upload: true, patient: true, gated: true, refuses: true, run: upload},
		{name: "MachineImages.Upload", of: "merge", target: "MachineImages.Merge", class: adopted, looks: true, refuses: true, run: upload},
		{name: "MachineImages.Upload", of: "wait", target: "MachineImages.Get", reuses: true, class: safe, patient: true, run: upload},
		{name: "MachineImages.UploadFile", of: "initiate", target: "MachineImages.Initiate", class: adopted, refuses: true, run: withImage(uploadFile)},
		{name: "MachineImages.UploadFile", of: "chunk", target: "MachineImages.UploadChunk", class: repeatable, upload: true, patient: true, gated: true, refuses: true, run: withImage(uploadFile)},
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
