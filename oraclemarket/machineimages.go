package oraclemarket

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // the service's checksum, not a protection
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/imagejobs/imagejobs-go/internal/formdata"
	"github.com/imagejobs/imagejobs-go/internal/lenient"
	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// MachineImagesService is the MachineImage resource: upload requests and what
// becomes of them. Source: "MachineImage Resources REST Endpoints" of the
// Publisher API, v1.
type MachineImagesService struct {
	client     *transport.Client
	firstChunk int
}

// MachineImageUploadRequest is the upload of one machine image and its state.
// Any field may be missing in an answer and is zero then. Source: "Detailed
// Status of Machine Image Upload Request".
type MachineImageUploadRequest struct {
	UploadRequestID int64 `json:"uploadRequestId"`
	// Application, Version and OperatingSystem name the image. The samples use
	// Version for the level of the operating system, as in "OL67".
	Application     string `json:"application"`
	Version         string `json:"version"`
	OperatingSystem string `json:"operatingSystem"`
	FileName        string `json:"fileName"`
	// ImageFilePath is where the image is stored: container, "mi",
	// application, version, operating system and file name.
	ImageFilePath string `json:"imageFilePath,omitempty"`
	// Checksum is in the documented schema and in no sample; presumably the
	// MD5 of the file in hex.
	Checksum   string `json:"checkSum,omitempty"`
	StatusName Status `json:"statusName"`
	// UploadedChunks and PendingChunks count the chunks of a chunked upload.
	UploadedChunks int `json:"uploadedChunks"`
	PendingChunks  int `json:"pendingChunks"`
	// CreatedBy is a display name here and a UUID in the answer to Head.
	CreatedBy            string    `json:"createdBy,omitempty"`
	CreatedDate          time.Time `json:"createdDate,omitzero"`
	LastModifiedBy       string    `json:"lastModifiedBy,omitempty"`
	LastModifiedDate     time.Time `json:"lastModifiedDate,omitzero"`
	OverwriteStorageFile bool      `json:"overwriteStorageFile"`
	// DataCenterImageUploadRequests says how far each data center is.
	DataCenterImageUploadRequests []DataCenterImageUploadRequest `json:"dataCenterImageUploadRequests,omitempty"`
}

// DataCenterImageUploadRequest is one data center's part of an upload request.
type DataCenterImageUploadRequest struct {
	DataCenterName string `json:"dataCenterName"`
	StatusName     Status `json:"statusName"`
	// UploadProgress is in percent, 0 to 100. The service sends "100%".
	UploadProgress    int       `json:"uploadProgress"`
	Region            string    `json:"region,omitempty"`
	LastUpdatedDate   time.Time `json:"lastUpdatedDate,omitzero"`
	CopyUpload        bool      `json:"copyUpload"`
	OverwriteUpload   bool      `json:"overwriteUpload"`
	ReplicaDataCenter bool      `json:"replicaDataCenter"`
}

type wireUploadRequest struct {
	UploadRequestID      lenient.Int         `json:"uploadRequestId"`
	Application          lenient.String      `json:"application"`
	Version              lenient.String      `json:"version"`
	OperatingSystem      lenient.String      `json:"operatingSystem"`
	FileName             lenient.String      `json:"fileName"`
	ImageFilePath        lenient.String      `json:"imageFilePath"`
	Checksum             lenient.String      `json:"checkSum"` // "checksum" matches too: names are compared without case
	StatusName           Status              `json:"statusName"`
	UploadedChunks       lenient.Int         `json:"uploadedChunks"`
	PendingChunks        lenient.Int         `json:"pendingChunks"`
	CreatedBy            lenient.String      `json:"createdBy"`
	CreatedDate          lenient.Time        `json:"createdDate"`
	LastModifiedBy       lenient.String      `json:"lastModifiedBy"`
	LastModifiedDate     lenient.Time        `json:"lastModifiedDate"`
	OverwriteStorageFile lenient.Bool        `json:"overwriteStorageFile"`
	DataCenters          []wireDataCenterReq `json:"dataCenterImageUploadRequests"`
}

type wireDataCenterReq struct {
	DataCenterName    lenient.String `json:"dataCenterName"`
	StatusName        Status         `json:"statusName"`
	UploadProgress    lenient.Int    `json:"uploadProgress"`
	Region            lenient.String `json:"region"`
	LastUpdatedDate   lenient.Time   `json:"lastUpdatedDate"`
	CopyUpload        lenient.Bool   `json:"copyUpload"`
	OverwriteUpload   lenient.Bool   `json:"overwriteUpload"`
	ReplicaDataCenter lenient.Bool   `json:"replicaDataCenter"`
}

// UnmarshalJSON accepts ids and counts as number or string, and a record that
// is wrapped in an object of one member, as the items of lists are.
func (r *MachineImageUploadRequest) UnmarshalJSON(data []byte) error {
	var w wireUploadRequest
	if err := json.Unmarshal(unwrap(data), &w); err != nil {
		return err
	}
	*r = MachineImageUploadRequest{
		UploadRequestID:      int64(w.UploadRequestID),
		Application:          string(w.Application),
		Version:              string(w.Version),
		OperatingSystem:      string(w.OperatingSystem),
		FileName:             string(w.FileName),
		ImageFilePath:        string(w.ImageFilePath),
		Checksum:             string(w.Checksum),
		StatusName:           w.StatusName,
		UploadedChunks:       int(w.UploadedChunks),
		PendingChunks:        int(w.PendingChunks),
		CreatedBy:            string(w.CreatedBy),
		CreatedDate:          w.CreatedDate.Time,
		LastModifiedBy:       string(w.LastModifiedBy),
		LastModifiedDate:     w.LastModifiedDate.Time,
		OverwriteStorageFile: bool(w.OverwriteStorageFile),
	}
	for _, d := range w.DataCenters {
		r.DataCenterImageUploadRequests = append(r.DataCenterImageUploadRequests, DataCenterImageUploadRequest{
			DataCenterName:    string(d.DataCenterName),
			StatusName:        d.StatusName,
			UploadProgress:    int(d.UploadProgress),
			Region:            string(d.Region),
			LastUpdatedDate:   d.LastUpdatedDate.Time,
			CopyUpload:        bool(d.CopyUpload),
			OverwriteUpload:   bool(d.OverwriteUpload),
			ReplicaDataCenter: bool(d.ReplicaDataCenter),
		})
	}
	return nil
}

// unwrap is the record inside {"machineimage": {...}}. The name of the member
// differs by resource and is not looked at.
func unwrap(data []byte) []byte {
	// Whether the first member is an object is cheap to tell, and usually it is
	// an id.
	if _, value, ok := bytes.Cut(data, []byte(":")); ok && !bytes.HasPrefix(bytes.TrimLeft(value, " \t\r\n"), []byte("{")) {
		return data
	}
	var object map[string]json.RawMessage
	if json.Unmarshal(data, &object) != nil {
		return data
	}
	for name, inner := range object {
		if (len(object) == 1 || strings.EqualFold(name, "machineimage")) && len(inner) > 0 && inner[0] == '{' {
			return inner
		}
	}
	return data
}

// Acknowledgement is the service's short answer to a change. Source: schema
// "acknowledgement".
type Acknowledgement struct {
	// Message is for people, as in "OK".
	Message string `json:"message"`
	// EntityID is the upload request's id, 0 when the service gave none.
	EntityID int64 `json:"entityId"`
}

// UnmarshalJSON accepts the id as string, which the service sends, or number.
func (a *Acknowledgement) UnmarshalJSON(data []byte) error {
	var w struct {
		Message  lenient.String `json:"message"`
		EntityID lenient.Int    `json:"entityId"`
	}
	if err := json.Unmarshal(data, &w); err != nil {
		return err
	}
	*a = Acknowledgement{Message: string(w.Message), EntityID: int64(w.EntityID)}
	return nil
}

// CreateMachineImageRequest is a machine image to upload whole.
type CreateMachineImageRequest struct {
	// Application, Version and OperatingSystem name the image; required.
	Application     string
	Version         string
	OperatingSystem string
	// OverwriteStorageFile replaces a stored file of the same path.
	OverwriteStorageFile bool
	// FileName is the image's, as in "machineImage.tar.gz"; required.
	FileName string
	// File is read from 0 to Size, possibly more than once.
	File io.ReaderAt
	// Size is the file's length in bytes, above 0.
	Size int64
	// MD5 is the file's MD5 in hex, 32 digits. The service checks what it
	// received against it. Empty for no check.
	MD5 string
}

// InitiateUploadRequest begins an upload in chunks.
type InitiateUploadRequest struct {
	// Application, Version and OperatingSystem name the image; required.
	Application     string
	Version         string
	OperatingSystem string
	// OverwriteStorageFile replaces a stored file of the same path.
	OverwriteStorageFile bool
	// FileName is the image's; required.
	FileName string
	// NumberOfChunks is how many UploadChunk will bring, at least 1. The
	// service checks it when the merge is asked for.
	NumberOfChunks int
}

// Chunk is one part of a file.
type Chunk struct {
	// Number is the chunk's place in the file, from 1, or from 0 with
	// WithFirstChunkNumber(0).
	Number int
	// FileName is the image's; required.
	FileName string
	// File is read from 0 to Size, possibly more than once. An
	// io.NewSectionReader makes one of a larger file.
	File io.ReaderAt
	// Size is the chunk's length in bytes, above 0.
	Size int64
	// MD5 is the chunk's MD5 in hex, 32 digits. The service checks what it
	// received against it. Empty for no check.
	MD5 string
}

// ChunkAcknowledgement is the answer to a chunk.
type ChunkAcknowledgement struct {
	UploadRequestID int64 `json:"uploadRequestId"`
	// Checksum is the MD5 in hex of what the service received.
	Checksum string `json:"checksum"`
	// UploadedChunks and PendingChunks count the chunks of the upload.
	UploadedChunks int `json:"uploadedChunks"`
	PendingChunks  int `json:"pendingChunks"`
}

// UnmarshalJSON accepts the id as string, which the service sends here, or
// number, which it sends elsewhere.
func (a *ChunkAcknowledgement) UnmarshalJSON(data []byte) error {
	var w struct {
		UploadRequestID lenient.Int    `json:"uploadRequestId"`
		Checksum        lenient.String `json:"checksum"`
		UploadedChunks  lenient.Int    `json:"uploadedChunks"`
		PendingChunks   lenient.Int    `json:"pendingChunks"`
	}
	if err := json.Unmarshal(data, &w); err != nil {
		return err
	}
	*a = ChunkAcknowledgement{
		UploadRequestID: int64(w.UploadRequestID),
		Checksum:        string(w.Checksum),
		UploadedChunks:  int(w.UploadedChunks),
		PendingChunks:   int(w.PendingChunks),
	}
	return nil
}

// UploadSummary is the short status of an upload request that Head gets.
type UploadSummary struct {
	Status Status `json:"status"`
	// FilePath is the counterpart of ImageFilePath, in a shorter form.
	FilePath         string    `json:"filePath,omitempty"`
	CreatedBy        string    `json:"createdBy,omitempty"`
	CreatedDate      time.Time `json:"createdDate,omitzero"`
	LastModifiedBy   string    `json:"lastModifiedBy,omitempty"`
	LastModifiedDate time.Time `json:"lastModifiedDate,omitzero"`
}

// OrderBy is a field that a list can be sorted by.
type OrderBy string

// SortOrder is the direction of a sorted list.
type SortOrder string

// The documented sort fields and directions.
const (
	OrderByName           OrderBy   = "NAME"
	OrderByLastUpdateDate OrderBy   = "LASTUPDATEDATE"
	SortAscending         SortOrder = "ASC"
	SortDescending        SortOrder = "DESC"
)

// ListMachineImagesOptions filters and sorts a list. The zero value, like nil,
// is the service's default.
type ListMachineImagesOptions struct {
	// Keyword is searched for; in which fields is not documented.
	Keyword string
	// Limit is the most records of a page, 1 to 100; 0 for the service's
	// default of 30.
	Limit int
	// Offset is how many records to pass over, from 0.
	Offset int
	// Statuses lists only requests in one of these.
	Statuses  []Status
	OrderBy   OrderBy
	SortOrder SortOrder
}

type listQuery struct {
	Keyword   string   `url:"keyword,omitempty"`
	Limit     int      `url:"limit,omitempty"`
	Offset    int      `url:"offset,omitempty"`
	Statuses  []string `url:"machineimagestatus,omitempty,comma"`
	OrderBy   string   `url:"orderby,omitempty"`
	SortOrder string   `url:"sortorder,omitempty"`
}

func (o *ListMachineImagesOptions) query() listQuery {
	q := listQuery{
		Keyword: o.Keyword, Limit: o.Limit, Offset: o.Offset,
		OrderBy: string(o.OrderBy), SortOrder: string(o.SortOrder),
	}
	for _, s := range o.Statuses {
		q.Statuses = append(q.Statuses, s.filterValue())
	}
	return q
}

// MachineImagePage is one page of a list.
type MachineImagePage struct {
	Items []*MachineImageUploadRequest
	Page
}

// UnmarshalJSON implements json.Unmarshaler.
func (p *MachineImagePage) UnmarshalJSON(data []byte) error {
	var err error
	p.Items, p.Page, err = decodePage(data)
	return err
}

// Create uploads a whole image in one request: POST
// /appstore/publisher/v1/machineimages. The EntityID of the answer is the
// upload request's id for Get, Wait and Delete.
//
// It is never sent twice: when the answer is lost the error matches
// ErrAmbiguous, and List tells whether the service has the request. For large
// files see Upload, which resumes. Source: "Create Machine Image", example 1.
func (s *MachineImagesService) Create(ctx context.Context, req *CreateMachineImageRequest) (*Acknowledgement, error) {
	const name = "CreateMachineImageRequest"
	if req == nil {
		return nil, s.client.Invalid(name, "must not be nil")
	}
	if err := s.checkImage(name, req.Application, req.Version, req.OperatingSystem, req.FileName); err != nil {
		return nil, err
	}
	if err := s.checkFile(name, req.File, req.Size, req.MD5); err != nil {
		return nil, err
	}
	form := formdata.New().
		Field("json", imageJSON(req.Application, req.Version, req.OperatingSystem, req.OverwriteStorageFile)).
		File("file", req.FileName, req.File, req.Size)
	header := fileHeader(req.FileName, req.MD5)
	return s.create(ctx, "MachineImages.Create", form, header, true)
}

// Initiate begins an upload in chunks: POST
// /appstore/publisher/v1/machineimages with X-Number-Of-Chunks. The EntityID
// of the answer is the upload request's id for UploadChunk and Merge.
//
// It is never sent twice: when the answer is lost the error matches
// ErrAmbiguous, and List tells whether the service has the request. Upload
// does all of this by itself. Source: "Create Machine Image", example 2.
func (s *MachineImagesService) Initiate(ctx context.Context, req *InitiateUploadRequest) (*Acknowledgement, error) {
	const name = "InitiateUploadRequest"
	if req == nil {
		return nil, s.client.Invalid(name, "must not be nil")
	}
	if err := s.checkImage(name, req.Application, req.Version, req.OperatingSystem, req.FileName); err != nil {
		return nil, err
	}
	if req.NumberOfChunks < 1 {
		return nil, s.client.Invalid(name+".NumberOfChunks", "must be at least 1, not %d", req.NumberOfChunks)
	}
	// The page prints "uploadType : {Chunk}"; the braces are taken for
	// notation. Its prose speaks of a first chunk in this request, its sample
	// and the guide have none: neither does this.
	form := formdata.New().
		Field("json", imageJSON(req.Application, req.Version, req.OperatingSystem, req.OverwriteStorageFile)).
		Field("uploadType", "Chunk")
	header := fileHeader(req.FileName, "")
	header.Set("X-Number-Of-Chunks", strconv.Itoa(req.NumberOfChunks))
	return s.create(ctx, "MachineImages.Initiate", form, header, false)
}

func (s *MachineImagesService) create(ctx context.Context, operation string, form *formdata.Form, header http.Header, upload bool) (*Acknowledgement, error) {
	body, err := formBody(form)
	if err != nil {
		return nil, err
	}
	ack := &Acknowledgement{}
	_, err = transport.DoEmpty(ctx, s.client, &transport.Call{
		Operation: operation,
		Method:    http.MethodPost,
		Path:      machineImagesPath(),
		Header:    header,
		Body:      body,
		Repeat:    transport.Once,
		Upload:    upload,
		Check: func(r *transport.Response) error {
			a, err := createdEntity(r)
			if err == nil {
				*ack = *a
			}
			return err
		},
	})
	if err != nil {
		return nil, err
	}
	return ack, nil
}

// createdEntity finds the new id. The reference answers 200 and an
// acknowledgement; the guide 201, a Location and an echo of the request.
func createdEntity(r *transport.Response) (*Acknowledgement, error) {
	ack := &Acknowledgement{}
	jsonErr := json.Unmarshal(r.Body, ack)
	if ack.EntityID > 0 {
		return ack, nil
	}
	if u, err := url.Parse(r.Header.Get("Location")); err == nil {
		if id, err := strconv.ParseInt(path.Base(u.Path), 10, 64); err == nil && id > 0 {
			ack.EntityID = id
			return ack, nil
		}
	}
	if jsonErr != nil {
		return nil, transport.BadAnswer(r, jsonErr)
	}
	return nil, transport.BadAnswer(r, errors.New("neither entityId nor Location names the new upload request"))
}

// UploadChunk uploads one chunk: POST
// /appstore/publisher/v1/machineimages/{uploadRequestId}/chunk. Chunks may go
// in any order and in parallel. A chunk that is sent again replaces the one
// before, as far as is known, so failures of a passing kind are retried.
// Source: "Upload Chunkfile".
func (s *MachineImagesService) UploadChunk(ctx context.Context, uploadRequestID int64, chunk *Chunk) (*ChunkAcknowledgement, error) {
	if err := s.checkID(uploadRequestID); err != nil {
		return nil, err
	}
	if chunk == nil {
		return nil, s.client.Invalid("Chunk", "must not be nil")
	}
	if chunk.Number < s.firstChunk {
		return nil, s.client.Invalid("Chunk.Number", "must be at least %d, not %d", s.firstChunk, chunk.Number)
	}
	if err := s.checkFileName("Chunk", chunk.FileName); err != nil {
		return nil, err
	}
	if err := s.checkFile("Chunk", chunk.File, chunk.Size, chunk.MD5); err != nil {
		return nil, err
	}
	body, err := formBody(formdata.New().File("file", chunk.FileName, chunk.File, chunk.Size))
	if err != nil {
		return nil, err
	}
	header := fileHeader(chunk.FileName, chunk.MD5)
	header.Set("X-Chunk-Number", strconv.Itoa(chunk.Number))
	ack, _, err := transport.Do[ChunkAcknowledgement](ctx, s.client, &transport.Call{
		Operation: "MachineImages.UploadChunk",
		Method:    http.MethodPost,
		Path:      machineImagesPath(strconv.FormatInt(uploadRequestID, 10), "chunk"),
		Header:    header,
		Body:      body,
		Repeat:    transport.Repeatable,
		Upload:    true,
	})
	return ack, err
}

// Merge asks the service to join the chunks: PATCH
// /appstore/publisher/v1/machineimages/{uploadRequestId} with action=upload.
// The service works on after its answer; Wait follows it. It may be repeated.
// Source: "Merge Machine Image Chunk".
func (s *MachineImagesService) Merge(ctx context.Context, uploadRequestID int64) (*Acknowledgement, error) {
	if err := s.checkID(uploadRequestID); err != nil {
		return nil, err
	}
	// The page's list of media types could not be read; it labels the body
	// form-data.
	body, err := formBody(formdata.New().Field("action", "upload"))
	if err != nil {
		return nil, err
	}
	ack, _, err := transport.Do[Acknowledgement](ctx, s.client, &transport.Call{
		Operation: "MachineImages.Merge",
		Method:    http.MethodPatch,
		Path:      machineImagesPath(strconv.FormatInt(uploadRequestID, 10)),
		Body:      body,
		Repeat:    transport.Repeatable,
		EmptyOK:   true,
	})
	return ack, err
}

// Get is the detailed status of an upload request: GET
// /appstore/publisher/v1/machineimages/{uploadRequestId}. Source: "Detailed
// Status of Machine Image Upload Request".
func (s *MachineImagesService) Get(ctx context.Context, uploadRequestID int64) (*MachineImageUploadRequest, error) {
	r, _, err := s.get(ctx, uploadRequestID)
	return r, err
}

func (s *MachineImagesService) get(ctx context.Context, uploadRequestID int64) (*MachineImageUploadRequest, time.Duration, error) {
	if err := s.checkID(uploadRequestID); err != nil {
		return nil, 0, err
	}
	r, resp, err := transport.Do[statusAnswer](ctx, s.client, &transport.Call{
		Operation: "MachineImages.Get",
		Method:    http.MethodGet,
		Path:      machineImagesPath(strconv.FormatInt(uploadRequestID, 10)),
		Repeat:    transport.Safe,
	})
	if err != nil {
		return nil, resp.RetryAfter(), err
	}
	return &r.MachineImageUploadRequest, resp.RetryAfter(), nil
}

// statusAnswer is a record that must be one, unlike the {} of a proxy: that
// would make a resumed upload believe that the service lost its chunks.
type statusAnswer struct{ MachineImageUploadRequest }

func (a *statusAnswer) UnmarshalJSON(data []byte) error {
	if err := a.MachineImageUploadRequest.UnmarshalJSON(data); err != nil {
		return err
	}
	if a.UploadRequestID == 0 && a.StatusName == "" {
		return errors.New("neither uploadRequestId nor statusName in it")
	}
	return nil
}

// Head is the short status of an upload request: HEAD
// /appstore/publisher/v1/machineimages/{uploadRequestId}. Source: "Machine
// Image Upload Request Status".
func (s *MachineImagesService) Head(ctx context.Context, uploadRequestID int64) (*UploadSummary, error) {
	if err := s.checkID(uploadRequestID); err != nil {
		return nil, err
	}
	resp, err := transport.DoEmpty(ctx, s.client, &transport.Call{
		Operation: "MachineImages.Head",
		Method:    http.MethodHead,
		Path:      machineImagesPath(strconv.FormatInt(uploadRequestID, 10)),
		Repeat:    transport.Safe,
		Check: func(r *transport.Response) error {
			if r.Header.Get("X-Upload-Status") == "" {
				return transport.BadAnswer(r, errors.New("no X-Upload-Status"))
			}
			return nil
		},
	})
	if err != nil {
		return nil, err
	}
	h := resp.Header
	return &UploadSummary{
		Status:           parseStatus(h.Get("X-Upload-Status")),
		FilePath:         h.Get("X-Upload-File-Path"),
		CreatedBy:        h.Get("X-Created-By"),
		CreatedDate:      lenient.ParseTime(h.Get("X-Created-Date")),
		LastModifiedBy:   h.Get("X-Last-Modified-By"),
		LastModifiedDate: lenient.ParseTime(h.Get("X-Last-Modified-Date")),
	}, nil
}

// List is one page of the upload requests: GET
// /appstore/publisher/v1/machineimages. nil options list from the start.
// Source: "Machine Image Upload Request Search".
func (s *MachineImagesService) List(ctx context.Context, opts *ListMachineImagesOptions) (*MachineImagePage, error) {
	page, _, err := s.list(ctx, opts)
	return page, err
}

func (s *MachineImagesService) list(ctx context.Context, opts *ListMachineImagesOptions) (*MachineImagePage, *transport.Response, error) {
	if opts == nil {
		opts = &ListMachineImagesOptions{}
	}
	if err := checkPaging(s.client, "ListMachineImagesOptions", opts.Limit, opts.Offset); err != nil {
		return nil, nil, err
	}
	return transport.Do[MachineImagePage](ctx, s.client, &transport.Call{
		Operation: "MachineImages.List",
		Method:    http.MethodGet,
		Path:      machineImagesPath(),
		Query:     opts.query(),
		Repeat:    transport.Safe,
	})
}

// All goes through all pages of List from opts.Offset on. opts is not changed.
// An error ends the sequence.
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

// Delete deletes the image from those data centers, or from all of them when
// none is named: DELETE /appstore/publisher/v1/machineimages/{uploadRequestId}.
// Source: "Delete Machine Image".
func (s *MachineImagesService) Delete(ctx context.Context, uploadRequestID int64, dataCenters ...string) (*Acknowledgement, error) {
	if err := s.checkID(uploadRequestID); err != nil {
		return nil, err
	}
	var body *transport.Body
	if len(dataCenters) > 0 {
		if err := checkNames(s.client, "Delete: dataCenters", dataCenters); err != nil {
			return nil, err
		}
		var err error
		body, err = transport.JSONBody(struct {
			DataCenters []string `json:"datacenters"`
		}{dataCenters})
		if err != nil {
			return nil, err
		}
	}
	ack, _, err := transport.Do[Acknowledgement](ctx, s.client, &transport.Call{
		Operation: "MachineImages.Delete",
		Method:    http.MethodDelete,
		Path:      machineImagesPath(strconv.FormatInt(uploadRequestID, 10)),
		Body:      body,
		Repeat:    transport.Repeatable,
		EmptyOK:   true,
	})
	return ack, err
}

func machineImagesPath(more ...string) []string {
	return slices.Concat([]string{"appstore", "publisher", "v1", "machineimages"}, more)
}

func imageJSON(application, version, operatingSystem string, overwrite bool) string {
	data, _ := json.Marshal(struct { // strings and a bool always encode
		Application          string `json:"application"`
		Version              string `json:"version"`
		OperatingSystem      string `json:"operatingSystem"`
		OverwriteStorageFile bool   `json:"overwriteStorageFile,omitempty"`
	}{application, version, operatingSystem, overwrite})
	return string(data)
}

// fileHeader has the file's name and checksum. A header cannot carry all names
// as they are: one that is not ASCII goes percent-encoded, while the form part
// has it verbatim.
func fileHeader(fileName, md5 string) http.Header {
	h := http.Header{}
	h.Set("X-File-Name", headerFileName(fileName))
	if md5 != "" {
		h.Set("X-MD5-Checksum", md5)
	}
	return h
}

func headerFileName(name string) string {
	for i := range len(name) {
		if name[i] >= utf8.RuneSelf {
			return url.PathEscape(name)
		}
	}
	return name
}

func formBody(form *formdata.Form) (*transport.Body, error) {
	contentType, size, open, err := form.Close()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", pkg, err)
	}
	return &transport.Body{ContentType: contentType, Size: size, Open: open}, nil
}

func (s *MachineImagesService) checkID(id int64) error {
	if id < 1 {
		return s.client.Invalid("uploadRequestID", "must be positive, not %d", id)
	}
	return nil
}

func (s *MachineImagesService) checkImage(name, application, version, operatingSystem, fileName string) error {
	for _, field := range []struct{ name, value string }{
		{"Application", application}, {"Version", version}, {"OperatingSystem", operatingSystem},
	} {
		if strings.TrimSpace(field.value) == "" {
			return s.client.Invalid(name+"."+field.name, "must not be empty")
		}
		if !utf8.ValidString(field.value) {
			return s.client.Invalid(name+"."+field.name, "must be valid UTF-8")
		}
	}
	return s.checkFileName(name, fileName)
}

func (s *MachineImagesService) checkFileName(name, fileName string) error {
	switch {
	case strings.TrimSpace(fileName) == "":
		return s.client.Invalid(name+".FileName", "must not be empty")
	case strings.ContainsAny(fileName, `/\`):
		return s.client.Invalid(name+".FileName", "must be a name, not a path")
	case !utf8.ValidString(fileName):
		return s.client.Invalid(name+".FileName", "must be valid UTF-8")
	}
	return transport.CheckHeader(pkg, name+".FileName", fileName)
}

func (s *MachineImagesService) checkFile(name string, file io.ReaderAt, size int64, md5 string) error {
	switch {
	case file == nil:
		return s.client.Invalid(name+".File", "must not be nil")
	case size <= 0:
		return s.client.Invalid(name+".Size", "must be positive, not %d", size)
	case md5 != "" && !isMD5(md5):
		return s.client.Invalid(name+".MD5", "must be 32 hex digits")
	}
	return nil
}

func isMD5(text string) bool {
	sum, err := hex.DecodeString(text)
	return err == nil && len(sum) == md5.Size
}

func checkNames(client *transport.Client, field string, names []string) error {
	for i, name := range names {
		if strings.TrimSpace(name) == "" {
			return client.Invalid(fmt.Sprintf("%s[%d]", field, i), "must not be empty")
		}
	}
	return nil
}
