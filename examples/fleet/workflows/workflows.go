package workflows

import (
	"errors"

	"go.temporal.io/sdk/workflow"
)

// UploadImage uploads an image and waits until it is Completed.
func UploadImage(workflow.Context, UploadImageInput) (*UploadImageResult, error) {
	return nil, errors.ErrUnsupported
}

// CopyImage copies an image to tenants and waits until all have it.
func CopyImage(workflow.Context, CopyImageInput) (*CopyImageResult, error) {
	return nil, errors.ErrUnsupported
}

// ReleaseImage updates an image, has its diff approved, and rolls it out.
func ReleaseImage(workflow.Context, ReleaseImageInput) (*ReleaseImageResult, error) {
	return nil, errors.ErrUnsupported
}

// PublishFleet runs a workflow for each image.
func PublishFleet(workflow.Context, PublishFleetInput) (*FleetStatus, error) {
	return nil, errors.ErrUnsupported
}
