package oraclemarket

import (
	"context"
	"iter"
	"net/http"
	"strings"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// StorageImage describes an image file and where it is stored.
//
// Source: [Get availability details of machine images].
//
// [Get availability details of machine images]: https://docs.oracle.com/en/cloud/marketplace/partner-portal/rest-api-publisher/op-publisher-v1-storageimages-machineimagepath-get.html
type StorageImage struct {
	// FileName is the image's file name.
	FileName string `json:"fileName"`
	// Application, Version and OperatingSystem name the image.
	Application     string `json:"application"`
	Version         string `json:"version"`
	OperatingSystem string `json:"operatingSystem"`
	// Path begins with "mi/", without the container of ImageFilePath.
	Path string `json:"path"`
	// StorageDataCenterImageStatuses has an entry for each data center.
	StorageDataCenterImageStatuses []StorageDataCenterImageStatus `json:"storageDataCenterImageStatuses,omitempty"`
}

// StorageDataCenterImageStatus reports whether a data center has the image.
type StorageDataCenterImageStatus struct {
	// DataCenterName is the name that [StorageImagesService.Copy] takes.
	DataCenterName string `json:"dataCenterName"`
	// Region is the data center's region.
	Region string `json:"region,omitempty"`
	// IsAvailable reports whether the data center has the image.
	IsAvailable bool `json:"isAvailable"`
	// Size is the image's size in bytes, 0 if the service sent none.
	Size int64 `json:"size,omitempty"`
	// LastModifiedDate is when the image last changed in the data center.
	LastModifiedDate time.Time `json:"lastModifiedDate,omitzero"`
	// Replica is not explained by the documentation.
	Replica bool `json:"replica"`
}

// ListStorageImagesOptions filters a list. The zero value, like nil, means the
// service's defaults.
type ListStorageImagesOptions struct {
	// DataCenter is the data center to list. Empty means the service's default.
	DataCenter string `url:"datacenter,omitempty"`
	// Keyword is compared with name, version and operating system.
	Keyword string `url:"keyword,omitempty"`
	// Limit is the largest number of records on a page, 1 to 100. 0 means the
	// service's default, 30.
	Limit int `url:"limit,omitempty"`
	// Offset is how many records to skip.
	Offset int `url:"offset,omitempty"`
}

func (o *ListStorageImagesOptions) check() error {
	if o == nil {
		return nil
	}
	return checkPaging("ListStorageImagesOptions", o.Limit, o.Offset)
}

// CopyStorageImageRequest names the data centers between which an image is
// copied.
type CopyStorageImageRequest struct {
	// SourceDataCenter has the image. Required.
	SourceDataCenter string `json:"sourceDataCenter"`
	// CopyToDataCenters receive the image. OverwriteDataCenters receive it even if
	// they have it already. At least one data center is required.
	CopyToDataCenters    []string `json:"copyToDataCenters,omitempty"`
	OverwriteDataCenters []string `json:"overwriteDataCenters,omitempty"`
}

func (r *CopyStorageImageRequest) check() error {
	const name = "CopyStorageImageRequest"
	switch {
	case r == nil:
		return invalid(name, "must not be nil")
	case strings.TrimSpace(r.SourceDataCenter) == "":
		return invalid(name+".SourceDataCenter", "must not be empty")
	case len(r.CopyToDataCenters)+len(r.OverwriteDataCenters) == 0:
		return invalid(name+".CopyToDataCenters", "must not be empty when OverwriteDataCenters is")
	}
	if err := checkNames(name+".CopyToDataCenters", r.CopyToDataCenters); err != nil {
		return err
	}
	return checkNames(name+".OverwriteDataCenters", r.OverwriteDataCenters)
}

// List returns one page of the images in a data center. nil options list the
// default data center from the start.
//
// Source: [Get list of machine images from data centers].
//
// [Get list of machine images from data centers]: https://docs.oracle.com/en/cloud/marketplace/partner-portal/rest-api-publisher/op-publisher-v1-storageimages-get.html
func (s *StorageImagesService) List(ctx context.Context, opts *ListStorageImagesOptions) (*MachineImagePage, error) {
	if err := opts.check(); err != nil {
		return nil, err
	}
	if opts == nil {
		opts = &ListStorageImagesOptions{}
	}
	page, _, err := transport.Do(ctx, s.client, &transport.Call{
		Operation: "StorageImages.List",
		Method:    http.MethodGet,
		Path:      storageImagesPath(),
		Query:     *opts,
		Repeat:    transport.Safe,
	}, func(r *transport.Response) (*MachineImagePage, error) {
		return decodePage(r, func(record *MachineImageUploadRequest) bool {
			return record.UploadRequestID > 0 || record.FileName != "" || record.ImageFilePath != ""
		})
	})
	return page, err
}

// All yields the records of all pages of [StorageImagesService.List], from
// opts.Offset on. opts is not changed. An error ends the sequence.
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

// Get reports which data centers have the image with that path, such as
// "mi/sun/sun/sun/ruby-2.4.1.tar.gz". If the service does not know the path,
// the error matches [ErrNotFound].
//
// Source: [Get availability details of machine images].
//
// [Get availability details of machine images]: https://docs.oracle.com/en/cloud/marketplace/partner-portal/rest-api-publisher/op-publisher-v1-storageimages-machineimagepath-get.html
func (s *StorageImagesService) Get(ctx context.Context, machineImagePath string) (*StorageImage, error) {
	segments, err := imagePath(machineImagePath)
	if err != nil {
		return nil, err
	}
	image, _, err := transport.Do(ctx, s.client, &transport.Call{
		Operation: "StorageImages.Get",
		Method:    http.MethodGet,
		Path:      segments,
		Repeat:    transport.Safe,
	}, func(r *transport.Response) (*StorageImage, error) {
		image := new(StorageImage)
		if err := r.JSON(image); err != nil {
			return nil, err
		}
		if image.Path != machineImagePath {
			return nil, r.Malformed("it does not have the path of this image")
		}
		return image, nil
	})
	return image, err
}

// Copy asks the service to copy the image to other data centers. The service
// responds before it has done so; [StorageImagesService.Get] reports where the
// image is.
//
// A request that may have taken effect is not sent again: the error matches
// [ErrAmbiguous].
//
// Source: [Copy storage image to DataCenter].
//
// [Copy storage image to DataCenter]: https://docs.oracle.com/en/cloud/marketplace/partner-portal/rest-api-publisher/op-publisher-v1-storageimages-machineimagepath-post.html
func (s *StorageImagesService) Copy(ctx context.Context, machineImagePath string, req *CopyStorageImageRequest) (*Acknowledgement, error) {
	segments, err := imagePath(machineImagePath)
	if err != nil {
		return nil, err
	}
	if err := req.check(); err != nil {
		return nil, err
	}
	body, err := transport.JSONBody(req)
	if err != nil {
		return nil, err
	}
	ack, _, err := transport.Do(ctx, s.client, &transport.Call{
		Operation: "StorageImages.Copy",
		Method:    http.MethodPost,
		Path:      segments,
		Body:      body,
		Repeat:    transport.Once,
	}, decodeCreated)
	return ack, err
}

// imagePath splits the one path parameter that has slashes in it.
func imagePath(machineImagePath string) ([]string, error) {
	if machineImagePath == "" {
		return nil, invalid("machineImagePath", "must not be empty")
	}
	segments := strings.Split(machineImagePath, "/")
	for _, segment := range segments {
		if problem := transport.IDProblem(segment); problem != "" {
			return nil, invalid("machineImagePath: each part between slashes", "%s", problem)
		}
	}
	return append(storageImagesPath(), segments...), nil
}

func storageImagesPath() []string {
	return []string{"appstore", "publisher", "v1", "storageimages"}
}
