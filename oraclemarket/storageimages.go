package oraclemarket

import (
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"strings"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/lenient"
	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// StorageImagesService is the StorageImage resource: the image files in the
// data centers. Source: "Storage Image Resources REST Endpoints" of the
// Publisher API, v1.
type StorageImagesService struct{ client *transport.Client }

// StorageImage is one image file and where it is. Source: schema
// "StorageImageResponse".
type StorageImage struct {
	FileName        string `json:"fileName"`
	Application     string `json:"application"`
	Version         string `json:"version"`
	OperatingSystem string `json:"operatingSystem"`
	// Path begins with "mi/", without the container of ImageFilePath.
	Path                           string                         `json:"path"`
	StorageDataCenterImageStatuses []StorageDataCenterImageStatus `json:"storageDataCenterImageStatuses,omitempty"`
}

// StorageDataCenterImageStatus is whether one data center has the image.
type StorageDataCenterImageStatus struct {
	DataCenterName string `json:"dataCenterName"`
	Region         string `json:"region,omitempty"`
	IsAvailable    bool   `json:"isAvailable"`
	// Size is in bytes, 0 when not given. The service sends a string.
	Size             int64     `json:"size,omitempty"`
	LastModifiedDate time.Time `json:"lastModifiedDate,omitzero"`
	Replica          bool      `json:"replica"`
}

// UnmarshalJSON implements json.Unmarshaler.
func (i *StorageImage) UnmarshalJSON(data []byte) error {
	var w struct {
		FileName        lenient.String `json:"fileName"`
		Application     lenient.String `json:"application"`
		Version         lenient.String `json:"version"`
		OperatingSystem lenient.String `json:"operatingSystem"`
		Path            lenient.String `json:"path"`
		DataCenters     []struct {
			DataCenterName   lenient.String `json:"dataCenterName"`
			Region           lenient.String `json:"region"`
			IsAvailable      lenient.Bool   `json:"isAvailable"`
			Size             lenient.Int    `json:"size"`
			LastModifiedDate lenient.Time   `json:"lastModifiedDate"`
			Replica          lenient.Bool   `json:"replica"`
		} `json:"storageDataCenterImageStatuses"`
	}
	if err := json.Unmarshal(data, &w); err != nil {
		return err
	}
	*i = StorageImage{
		FileName:        string(w.FileName),
		Application:     string(w.Application),
		Version:         string(w.Version),
		OperatingSystem: string(w.OperatingSystem),
		Path:            string(w.Path),
	}
	for _, d := range w.DataCenters {
		i.StorageDataCenterImageStatuses = append(i.StorageDataCenterImageStatuses, StorageDataCenterImageStatus{
			DataCenterName:   string(d.DataCenterName),
			Region:           string(d.Region),
			IsAvailable:      bool(d.IsAvailable),
			Size:             int64(d.Size),
			LastModifiedDate: d.LastModifiedDate.Time,
			Replica:          bool(d.Replica),
		})
	}
	return nil
}

// ListStorageImagesOptions filters a list. The zero value, like nil, is the
// service's default.
type ListStorageImagesOptions struct {
	// DataCenter is where to look; the default data center if empty.
	DataCenter string `url:"datacenter,omitempty"`
	// Keyword is matched with name, version and operating system.
	Keyword string `url:"keyword,omitempty"`
	// Limit is the most records of a page, 1 to 100; 0 for the service's
	// default of 30.
	Limit int `url:"limit,omitempty"`
	// Offset is how many records to pass over, from 0.
	Offset int `url:"offset,omitempty"`
}

// CopyStorageImageRequest says between which data centers to copy an image.
// Source: schema "StorageImageCopyRequest".
type CopyStorageImageRequest struct {
	// SourceDataCenter has the image; required.
	SourceDataCenter string `json:"sourceDataCenter"`
	// CopyToDataCenters get the image, OverwriteDataCenters get it in place of
	// one that they have. At least one of all must be named.
	CopyToDataCenters    []string `json:"copyToDataCenters,omitempty"`
	OverwriteDataCenters []string `json:"overwriteDataCenters,omitempty"`
}

// List is one page of the images in a data center: GET
// /appstore/publisher/v1/storageimages. nil options list the default data
// center from the start. Source: "Get list of machine images from data
// centers".
func (s *StorageImagesService) List(ctx context.Context, opts *ListStorageImagesOptions) (*MachineImagePage, error) {
	if opts == nil {
		opts = &ListStorageImagesOptions{}
	}
	if err := checkPaging(s.client, "ListStorageImagesOptions", opts.Limit, opts.Offset); err != nil {
		return nil, err
	}
	page, _, err := transport.Do[MachineImagePage](ctx, s.client, &transport.Call{
		Operation: "StorageImages.List",
		Method:    http.MethodGet,
		Path:      storageImagesPath(),
		Query:     *opts,
		Repeat:    transport.Safe,
	})
	return page, err
}

// All goes through all pages of List from opts.Offset on. opts is not changed.
// An error ends the sequence.
func (s *StorageImagesService) All(ctx context.Context, opts *ListStorageImagesOptions) iter.Seq2[*MachineImageUploadRequest, error] {
	var o ListStorageImagesOptions
	if opts != nil {
		o = *opts
	}
	return allPages(o.Limit, o.Offset, func(limit, offset int) (*MachineImagePage, error) {
		o.Limit, o.Offset = limit, offset
		return s.List(ctx, &o)
	})
}

// Get tells which data centers have the image: GET
// /appstore/publisher/v1/storageimages/{machineImagePath}. The path is like
// "mi/sun/sun/sun/ruby-2.4.1.tar.gz". Source: "Get availability details of
// machine images".
func (s *StorageImagesService) Get(ctx context.Context, machineImagePath string) (*StorageImage, error) {
	segments, err := s.imagePath(machineImagePath)
	if err != nil {
		return nil, err
	}
	image, _, err := transport.Do[StorageImage](ctx, s.client, &transport.Call{
		Operation: "StorageImages.Get",
		Method:    http.MethodGet,
		Path:      segments,
		Repeat:    transport.Safe,
	})
	return image, err
}

// Copy starts a copy of the image to other data centers: POST
// /appstore/publisher/v1/storageimages/{machineImagePath}. The service works
// on after its answer. It is never sent twice: when the answer is lost the
// error matches ErrAmbiguous, and Get tells where the image is. Source: "Copy
// storage image to DataCenter".
func (s *StorageImagesService) Copy(ctx context.Context, machineImagePath string, req *CopyStorageImageRequest) (*Acknowledgement, error) {
	const name = "CopyStorageImageRequest"
	segments, err := s.imagePath(machineImagePath)
	if err != nil {
		return nil, err
	}
	switch {
	case req == nil:
		return nil, s.client.Invalid(name, "must not be nil")
	case strings.TrimSpace(req.SourceDataCenter) == "":
		return nil, s.client.Invalid(name+".SourceDataCenter", "must not be empty")
	case len(req.CopyToDataCenters)+len(req.OverwriteDataCenters) == 0:
		return nil, s.client.Invalid(name+".CopyToDataCenters", "must not be empty when OverwriteDataCenters is")
	}
	if err := checkNames(s.client, name+".CopyToDataCenters", req.CopyToDataCenters); err != nil {
		return nil, err
	}
	if err := checkNames(s.client, name+".OverwriteDataCenters", req.OverwriteDataCenters); err != nil {
		return nil, err
	}
	body, err := transport.JSONBody(req)
	if err != nil {
		return nil, err
	}
	ack, _, err := transport.Do[Acknowledgement](ctx, s.client, &transport.Call{
		Operation: "StorageImages.Copy",
		Method:    http.MethodPost,
		Path:      segments,
		Body:      body,
		Repeat:    transport.Once,
		EmptyOK:   true,
	})
	return ack, err
}

// imagePath splits the one path parameter that has slashes in it.
func (s *StorageImagesService) imagePath(machineImagePath string) ([]string, error) {
	if machineImagePath == "" {
		return nil, s.client.Invalid("machineImagePath", "must not be empty")
	}
	segments := strings.Split(machineImagePath, "/")
	for _, segment := range segments {
		if err := transport.CheckID(pkg, "machineImagePath: each part between slashes", segment); err != nil {
			return nil, err
		}
	}
	return append(storageImagesPath(), segments...), nil
}

func storageImagesPath() []string {
	return []string{"appstore", "publisher", "v1", "storageimages"}
}
