package oraclemarket

import (
	"context"
	"io"
	"iter"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/decode"
	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// MachineImageUploadRequest is the upload of one machine image and its state.
// Missing fields are zero.
//
// Source: [Detailed Status of Machine Image Upload Request].
//
// [Detailed Status of Machine Image Upload Request]: https://docs.oracle.com/en/cloud/marketplace/partner-portal/rest-api-publisher/op-publisher-v1-machineimages-uploadrequestid-get.html
type MachineImageUploadRequest struct {
	// UploadRequestID is the id of the upload request.
	UploadRequestID int64 `json:"uploadRequestId"`
	// Application, Version and OperatingSystem name the image. The samples use
	// Version for the level of the operating system, as in "OL67".
	Application     string `json:"application"`
	Version         string `json:"version"`
	OperatingSystem string `json:"operatingSystem"`
	// FileName is the image's file name.
	FileName string `json:"fileName"`
	// ImageFilePath is where the image is stored: container, "mi",
	// application, version, operating system and file name.
	ImageFilePath string `json:"imageFilePath,omitempty"`
	// Checksum is in the documented schema and in no sample; presumably the
	// MD5 of the file in hex.
	Checksum string `json:"checkSum,omitempty"`
	// StatusName is the state of the whole request.
	StatusName Status `json:"statusName"`
	// UploadedChunks and PendingChunks count the chunks of a chunked upload.
	UploadedChunks int `json:"uploadedChunks"`
	PendingChunks  int `json:"pendingChunks"`
	// CreatedBy is a display name here and a UUID in the response to Head.
	CreatedBy string `json:"createdBy,omitempty"`
	// CreatedDate is when the upload request was created.
	CreatedDate time.Time `json:"createdDate,omitzero"`
	// LastModifiedBy and LastModifiedDate describe the latest change.
	LastModifiedBy   string    `json:"lastModifiedBy,omitempty"`
	LastModifiedDate time.Time `json:"lastModifiedDate,omitzero"`
	// OverwriteStorageFile reports whether a stored file is to be replaced.
	OverwriteStorageFile bool `json:"overwriteStorageFile"`
	// DataCenterImageUploadRequests has each data center's part.
	DataCenterImageUploadRequests []DataCenterImageUploadRequest `json:"dataCenterImageUploadRequests,omitempty"`
}

// DataCenterImageUploadRequest is one data center's part of an upload request.
type DataCenterImageUploadRequest struct {
	// DataCenterName is the name that [MachineImagesService.Delete] takes.
	DataCenterName string `json:"dataCenterName"`
	// StatusName is the state of this part.
	StatusName Status `json:"statusName"`
	// UploadProgress is how much of the image has arrived.
	UploadProgress Percent `json:"uploadProgress"`
	// Region is the data center's region.
	Region string `json:"region,omitempty"`
	// LastUpdatedDate is when this part last changed.
	LastUpdatedDate time.Time `json:"lastUpdatedDate,omitzero"`
	// CopyUpload, OverwriteUpload and ReplicaDataCenter are not explained by the
	// documentation.
	CopyUpload        bool `json:"copyUpload"`
	OverwriteUpload   bool `json:"overwriteUpload"`
	ReplicaDataCenter bool `json:"replicaDataCenter"`
}

// UploadSummary is the short status of an upload request; see
// [MachineImagesService.Head].
type UploadSummary struct {
	// Status is the counterpart of StatusName.
	Status Status `json:"status"`
	// FilePath is the counterpart of ImageFilePath, in a shorter form.
	FilePath string `json:"filePath,omitempty"`
	// CreatedBy is a UUID here and a display name in the response to Get.
	CreatedBy string `json:"createdBy,omitempty"`
	// CreatedDate is when the upload request was created.
	CreatedDate time.Time `json:"createdDate,omitzero"`
	// LastModifiedBy and LastModifiedDate describe the latest change.
	LastModifiedBy   string    `json:"lastModifiedBy,omitempty"`
	LastModifiedDate time.Time `json:"lastModifiedDate,omitzero"`
}

// CreateMachineImageRequest is a machine image to upload whole.
type CreateMachineImageRequest struct {
	// Application, Version and OperatingSystem name the image. Required.
	Application     string
	Version         string
	OperatingSystem string
	// OverwriteStorageFile is whether to replace a stored file of the same path.
	// nil uses the service's default, which is not documented.
	OverwriteStorageFile *bool
	// FileName is the image's file name, such as "machineImage.tar.gz". Required.
	FileName string
	// File is read from offset 0 to Size, possibly more than once.
	File io.ReaderAt
	// Size is the file's length in bytes, above 0.
	Size int64
	// MD5 is the file's MD5 in hex, 32 digits. The service compares it with what
	// it received. Empty means no comparison.
	MD5 string
}

func (r *CreateMachineImageRequest) check() error {
	const name = "CreateMachineImageRequest"
	if r == nil {
		return invalid(name, "must not be nil")
	}
	if err := checkImage(name, r.Application, r.Version, r.OperatingSystem, r.FileName); err != nil {
		return err
	}
	return checkFile(name, r.File, r.Size, r.MD5)
}

// Create uploads a whole image in one request. The response's EntityID is the
// upload request's id, for Get, Wait and Delete. For large files see
// [MachineImagesService.Upload], which resumes.
//
// A request that may have taken effect is not sent again: the error matches
// [ErrAmbiguous], and [MachineImagesService.List] shows whether the service has
// the upload request.
//
// Source: [Create Machine Image], example 1.
//
// [Create Machine Image]: https://docs.oracle.com/en/cloud/marketplace/partner-portal/rest-api-publisher/op-publisher-v1-machineimages-post.html
func (s *MachineImagesService) Create(ctx context.Context, req *CreateMachineImageRequest) (*Acknowledgement, error) {
	if err := req.check(); err != nil {
		return nil, err
	}
	body, err := createBody(req)
	if err != nil {
		return nil, err
	}
	created, _, err := transport.Do(ctx, s.client, &transport.Call{
		Operation: "MachineImages.Create",
		Method:    http.MethodPost,
		Path:      machineImagesPath(),
		Header:    fileHeader(req.FileName, req.MD5),
		Body:      body,
		Repeat:    transport.Once,
		Upload:    true,
	}, decodeCreated)
	return created, err
}

// Get returns the upload request. If the service does not know the id, the
// error matches [ErrNotFound].
//
// Source: [Detailed Status of Machine Image Upload Request].
//
// [Detailed Status of Machine Image Upload Request]: https://docs.oracle.com/en/cloud/marketplace/partner-portal/rest-api-publisher/op-publisher-v1-machineimages-uploadrequestid-get.html
func (s *MachineImagesService) Get(ctx context.Context, uploadRequestID int64) (*MachineImageUploadRequest, error) {
	r, _, err := s.get(ctx, uploadRequestID)
	return r, err
}

// get also returns how long the service asks to wait before the next poll.
func (s *MachineImagesService) get(ctx context.Context, uploadRequestID int64) (*MachineImageUploadRequest, time.Duration, error) {
	if err := checkID(uploadRequestID); err != nil {
		return nil, 0, err
	}
	r, resp, err := transport.Do(ctx, s.client, &transport.Call{
		Operation: "MachineImages.Get",
		Method:    http.MethodGet,
		Path:      machineImagesPath(strconv.FormatInt(uploadRequestID, 10)),
		Repeat:    transport.Safe,
	}, func(r *transport.Response) (*MachineImageUploadRequest, error) {
		record := new(wrappedRequest)
		if err := r.JSON(record); err != nil {
			return nil, err
		}
		found := record.unwrap()
		if found.UploadRequestID != uploadRequestID || found.StatusName == "" {
			return nil, r.Malformed("it has no statusName of upload request " + strconv.FormatInt(uploadRequestID, 10))
		}
		return found, nil
	})
	return r, resp.RetryAfter(), err
}

// Head returns the short status of an upload request.
//
// Source: [Machine Image Upload Request Status].
//
// [Machine Image Upload Request Status]: https://docs.oracle.com/en/cloud/marketplace/partner-portal/rest-api-publisher/op-publisher-v1-machineimages-uploadrequestid-head.html
func (s *MachineImagesService) Head(ctx context.Context, uploadRequestID int64) (*UploadSummary, error) {
	if err := checkID(uploadRequestID); err != nil {
		return nil, err
	}
	summary, _, err := transport.Do(ctx, s.client, &transport.Call{
		Operation: "MachineImages.Head",
		Method:    http.MethodHead,
		Path:      machineImagesPath(strconv.FormatInt(uploadRequestID, 10)),
		Repeat:    transport.Safe,
	}, func(r *transport.Response) (*UploadSummary, error) {
		h := r.Header
		if h.Get("X-Upload-Status") == "" {
			return nil, r.Malformed("it has no X-Upload-Status")
		}
		return &UploadSummary{
			Status:           parseStatus(h.Get("X-Upload-Status")),
			FilePath:         h.Get("X-Upload-File-Path"),
			CreatedBy:        h.Get("X-Created-By"),
			CreatedDate:      decode.ParseTime(h.Get("X-Created-Date")),
			LastModifiedBy:   h.Get("X-Last-Modified-By"),
			LastModifiedDate: decode.ParseTime(h.Get("X-Last-Modified-Date")),
		}, nil
	})
	return summary, err
}

// List returns one page of the upload requests. nil options list from the
// start.
//
// Source: [Machine Image Upload Request Search].
//
// [Machine Image Upload Request Search]: https://docs.oracle.com/en/cloud/marketplace/partner-portal/rest-api-publisher/op-publisher-v1-machineimages-get.html
func (s *MachineImagesService) List(ctx context.Context, opts *ListMachineImagesOptions) (*MachineImagePage, error) {
	page, _, err := s.list(ctx, opts)
	return page, err
}

func (s *MachineImagesService) list(ctx context.Context, opts *ListMachineImagesOptions) (*MachineImagePage, *transport.Response, error) {
	if err := opts.check(); err != nil {
		return nil, nil, err
	}
	return transport.Do(ctx, s.client, &transport.Call{
		Operation: "MachineImages.List",
		Method:    http.MethodGet,
		Path:      machineImagesPath(),
		Query:     opts.query(),
		Repeat:    transport.Safe,
	}, func(r *transport.Response) (*MachineImagePage, error) {
		return decodePage(r, func(record *MachineImageUploadRequest) bool { return record.UploadRequestID > 0 })
	})
}

// All yields the records of all pages of [MachineImagesService.List], from
// opts.Offset on. opts is not changed. An error ends the sequence.
func (s *MachineImagesService) All(ctx context.Context, opts *ListMachineImagesOptions) iter.Seq2[*MachineImageUploadRequest, error] {
	var o ListMachineImagesOptions
	if opts != nil {
		o = *opts
	}
	return allPages(o.Limit, o.Offset, func(limit, offset int) (*MachineImagePage, error) {
		o.Limit, o.Offset = limit, offset
		return s.List(ctx, &o)
	})
}

// Delete deletes the image from the named data centers; at least one is
// required. [MachineImagesService.DeleteEverywhere] deletes it from all of
// them. Whether that concerns a newer image of the same path is not documented.
//
// Source: [Delete Machine Image].
//
// [Delete Machine Image]: https://docs.oracle.com/en/cloud/marketplace/partner-portal/rest-api-publisher/op-publisher-v1-machineimages-uploadrequestid-delete.html
func (s *MachineImagesService) Delete(ctx context.Context, uploadRequestID int64, dataCenters ...string) (*Acknowledgement, error) {
	if err := checkID(uploadRequestID); err != nil {
		return nil, err
	}
	if len(dataCenters) == 0 {
		return nil, invalid("Delete: dataCenters", "must not be empty: DeleteEverywhere deletes from all of them")
	}
	if err := checkNames("Delete: dataCenters", dataCenters); err != nil {
		return nil, err
	}
	body, err := transport.JSONBody(struct {
		DataCenters []string `json:"datacenters"`
	}{dataCenters})
	if err != nil {
		return nil, err
	}
	return s.delete(ctx, "MachineImages.Delete", uploadRequestID, body)
}

// DeleteEverywhere deletes the image from all data centers;
// [MachineImagesService.WaitDeleted] waits until that is done. Whether that
// concerns a newer image of the same path is not documented.
//
// Source: [Delete Machine Image].
//
// [Delete Machine Image]: https://docs.oracle.com/en/cloud/marketplace/partner-portal/rest-api-publisher/op-publisher-v1-machineimages-uploadrequestid-delete.html
func (s *MachineImagesService) DeleteEverywhere(ctx context.Context, uploadRequestID int64) (*Acknowledgement, error) {
	if err := checkID(uploadRequestID); err != nil {
		return nil, err
	}
	return s.delete(ctx, "MachineImages.DeleteEverywhere", uploadRequestID, nil)
}

func (s *MachineImagesService) delete(ctx context.Context, operation string, id int64, body *transport.Body) (*Acknowledgement, error) {
	deleted, _, err := transport.Do(ctx, s.client, &transport.Call{
		Operation: operation,
		Method:    http.MethodDelete,
		Path:      machineImagesPath(strconv.FormatInt(id, 10)),
		Body:      body,
		Repeat:    transport.Repeatable,
	}, func(r *transport.Response) (*Acknowledgement, error) {
		if r.StatusCode == http.StatusNoContent {
			return &Acknowledgement{EntityID: id}, nil // has no body, but is the response to this request
		}
		return decodeAcknowledgement(r, id)
	})
	return deleted, err
}

func machineImagesPath(more ...string) []string {
	return slices.Concat([]string{"appstore", "publisher", "v1", "machineimages"}, more)
}
