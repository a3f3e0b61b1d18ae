package oraclemarket

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/formdata"
	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// InitiateUploadRequest begins an upload in chunks.
type InitiateUploadRequest struct {
	// Application, Version and OperatingSystem name the image. Required.
	Application     string
	Version         string
	OperatingSystem string
	// OverwriteStorageFile is whether to replace a stored file of the same path.
	// nil uses the service's default, which is not documented.
	OverwriteStorageFile *bool
	// FileName is the image's file name. Required.
	FileName string
	// NumberOfChunks is how many chunks the file has, at least 1. The merge fails
	// if the service has received another number of chunks.
	NumberOfChunks int
	// File is the first chunk, to send it with this request, and Size its length
	// in bytes. The documentation's text asks for it, its sample does not. MD5 is
	// the chunk's MD5 in hex, 32 digits; empty means no comparison.
	File io.ReaderAt
	Size int64
	MD5  string
}

func (r *InitiateUploadRequest) check() error {
	const name = "InitiateUploadRequest"
	if r == nil {
		return invalid(name, "must not be nil")
	}
	if err := checkImage(name, r.Application, r.Version, r.OperatingSystem, r.FileName); err != nil {
		return err
	}
	if r.NumberOfChunks < 1 {
		return invalid(name+".NumberOfChunks", "must be at least 1, not %d", r.NumberOfChunks)
	}
	if r.File == nil && r.Size == 0 && r.MD5 == "" {
		return nil
	}
	return checkFile(name, r.File, r.Size, r.MD5)
}

// Chunk is one part of a file.
type Chunk struct {
	// Number is the chunk's place in the file, from 1, or from 0 with
	// WithFirstChunkNumber(0).
	Number int
	// FileName is the image's file name. Required.
	FileName string
	// File is read from offset 0 to Size, possibly more than once. Use
	// [io.NewSectionReader] for a part of a larger file.
	File io.ReaderAt
	// Size is the chunk's length in bytes, above 0.
	Size int64
	// MD5 is the chunk's MD5 in hex, 32 digits. The service compares it with what
	// it received. Empty means no comparison.
	MD5 string
}

func (c *Chunk) check(first int) error {
	if c == nil {
		return invalid("Chunk", "must not be nil")
	}
	if c.Number < first {
		return invalid("Chunk.Number", "must be at least %d, not %d", first, c.Number)
	}
	if err := checkFileName("Chunk", c.FileName); err != nil {
		return err
	}
	return checkFile("Chunk", c.File, c.Size, c.MD5)
}

// ChunkAcknowledgement is the response to a chunk.
type ChunkAcknowledgement struct {
	// UploadRequestID is the id of the upload request.
	UploadRequestID int64 `json:"uploadRequestId"`
	// Checksum is the MD5 in hex of what the service received.
	Checksum string `json:"checksum"`
	// UploadedChunks and PendingChunks count the upload's chunks.
	UploadedChunks int `json:"uploadedChunks"`
	PendingChunks  int `json:"pendingChunks"`
}

// Initiate begins an upload in chunks. The response's EntityID is the upload
// request's id, for UploadChunk and Merge. [MachineImagesService.Upload] makes
// all of these calls.
//
// A request that may have taken effect is not sent again: the error matches
// [ErrAmbiguous], and [MachineImagesService.List] shows whether the service has
// the upload request.
//
// Source: [Create Machine Image], example 2.
//
// [Create Machine Image]: https://docs.oracle.com/en/cloud/marketplace/partner-portal/rest-api-publisher/op-publisher-v1-machineimages-post.html
func (s *MachineImagesService) Initiate(ctx context.Context, req *InitiateUploadRequest) (*Acknowledgement, error) {
	if err := req.check(); err != nil {
		return nil, err
	}
	// The page prints "uploadType : {Chunk}"; the braces are taken for
	// notation.
	form := formdata.New().
		Field("json", imageJSON(req.Application, req.Version, req.OperatingSystem, req.OverwriteStorageFile)).
		Field("uploadType", "Chunk")
	header := fileHeader(req.FileName, req.MD5)
	header.Set("X-Number-Of-Chunks", strconv.Itoa(req.NumberOfChunks))
	if req.File != nil {
		form.File("file", req.FileName, req.File, req.Size)
		header.Set("X-Chunk-Number", strconv.Itoa(s.firstChunk))
	}
	body, err := formBody(form)
	if err != nil {
		return nil, err
	}
	created, _, err := transport.Do(ctx, s.client, &transport.Call{
		Operation: "MachineImages.Initiate",
		Method:    http.MethodPost,
		Path:      machineImagesPath(),
		Header:    header,
		Body:      body,
		Repeat:    transport.Once,
		Upload:    req.File != nil,
	}, decodeCreated)
	return created, err
}

// UploadChunk uploads one chunk. Chunks may be sent in any order and in
// parallel. As far as is known, a chunk that is sent again replaces the earlier
// one, so UploadChunk is retried after transient failures.
//
// Source: [Upload Chunkfile].
//
// [Upload Chunkfile]: https://docs.oracle.com/en/cloud/marketplace/partner-portal/rest-api-publisher/op-publisher-v1-machineimages-uploadrequestid-chunk-post.html
func (s *MachineImagesService) UploadChunk(ctx context.Context, uploadRequestID int64, chunk *Chunk) (*ChunkAcknowledgement, error) {
	ack, _, err := s.uploadChunk(ctx, uploadRequestID, chunk, 0)
	return ack, err
}

// uploadChunk sends a chunk after so many attempts. It also returns how long the
// service asks to wait.
func (s *MachineImagesService) uploadChunk(ctx context.Context, uploadRequestID int64, chunk *Chunk, attempts int) (*ChunkAcknowledgement, time.Duration, error) {
	if err := checkID(uploadRequestID); err != nil {
		return nil, 0, err
	}
	if err := chunk.check(s.firstChunk); err != nil {
		return nil, 0, err
	}
	body, err := formBody(formdata.New().File("file", chunk.FileName, chunk.File, chunk.Size))
	if err != nil {
		return nil, 0, err
	}
	header := fileHeader(chunk.FileName, chunk.MD5)
	header.Set("X-Chunk-Number", strconv.Itoa(chunk.Number))
	ack, resp, err := transport.Do(ctx, s.client, &transport.Call{
		Operation: "MachineImages.UploadChunk",
		Method:    http.MethodPost,
		Path:      machineImagesPath(strconv.FormatInt(uploadRequestID, 10), "chunk"),
		Header:    header,
		Body:      body,
		Repeat:    transport.Repeatable,
		Upload:    true,
		Attempts:  attempts,
	}, func(r *transport.Response) (*ChunkAcknowledgement, error) {
		var ack struct {
			ChunkAcknowledgement
			refusal
		}
		if err := r.JSON(&ack); err != nil {
			return nil, err
		}
		if err := ack.err(); err != nil {
			return nil, err
		}
		if ack.UploadRequestID != uploadRequestID {
			return nil, r.Malformed(fmt.Sprintf("it does not name upload request %d", uploadRequestID))
		}
		return &ack.ChunkAcknowledgement, nil
	})
	return ack, resp.RetryAfter(), err
}

// Merge asks the service to join the chunks. The service responds before it has
// done so; follow it with [MachineImagesService.Wait]. Merge may be repeated,
// and is retried after transient failures.
//
// Source: [Merge Machine Image Chunk].
//
// [Merge Machine Image Chunk]: https://docs.oracle.com/en/cloud/marketplace/partner-portal/rest-api-publisher/op-publisher-v1-machineimages-uploadrequestid-patch.html
func (s *MachineImagesService) Merge(ctx context.Context, uploadRequestID int64) (*Acknowledgement, error) {
	return s.merge(ctx, uploadRequestID, transport.Repeatable, 0)
}

func (s *MachineImagesService) merge(ctx context.Context, id int64, repeat transport.Repeat, timeout time.Duration) (*Acknowledgement, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	// The page's list of media types could not be read; it labels the body
	// form-data.
	body, err := formBody(formdata.New().Field("action", "upload"))
	if err != nil {
		return nil, err
	}
	ack, _, err := transport.Do(ctx, s.client, &transport.Call{
		Operation: "MachineImages.Merge",
		Method:    http.MethodPatch,
		Path:      machineImagesPath(strconv.FormatInt(id, 10)),
		Body:      body,
		Repeat:    repeat,
		Timeout:   timeout,
	}, func(r *transport.Response) (*Acknowledgement, error) { return decodeAcknowledgement(r, id) })
	return ack, err
}
