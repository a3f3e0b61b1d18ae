// Package workflows runs image jobs as Temporal workflows: UploadImage,
// CopyImage, ReleaseImage, and PublishFleet, which runs many of them.
//
// It holds workflow code only, which has to be deterministic, and calls the
// activities by name. No type here has a field for a credential: those are in
// the environment of the workers.
package workflows

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"
)

// Task queues.
const (
	ControlQueue  = "imagejobs"          // workflows, and the calls that move few bytes
	TransferQueue = "imagejobs-transfer" // activities that send images, few at once per worker
)

// Names of the workflows' queries and updates.
const (
	// StatusQuery returns the [Status] of an UploadImage, a CopyImage or a
	// ReleaseImage, and the [FleetStatus] of a PublishFleet.
	StatusQuery = "status"
	// DecideUpdate takes a [Decision] while the state is [StateNeedsDecision].
	DecideUpdate = "decide"
	// ApproveUpdate takes an [Approval] while the state of a ReleaseImage is
	// [StateNeedsApproval].
	ApproveUpdate = "approve"
)

// Search attributes. They have to exist on the server before a worker starts.
var (
	// StateAttribute is a Keyword, the [State] of a workflow, from its first change
	// on: none is StateRunning. ExecutionStatus tells how a workflow ended.
	StateAttribute = temporal.NewSearchAttributeKeyKeyword("ImageJobState")
	// DoneAttribute and FailedAttribute are of type Int, and count the images of a
	// PublishFleet.
	DoneAttribute   = temporal.NewSearchAttributeKeyInt64("ImagesDone")
	FailedAttribute = temporal.NewSearchAttributeKeyInt64("ImagesFailed")
)

// State is where a workflow is.
type State string

// States of workflows.
const (
	StateRunning       State = "Running"
	StateProcessing    State = "Processing" // the service works, the workflow waits
	StateNeedsApproval State = "NeedsApproval"
	StateRollingOut    State = "RollingOut"
	StateNeedsDecision State = "NeedsDecision"
	StateCleaningUp    State = "CleaningUp" // after a failure, or canceled
	StatePublishing    State = "Publishing" // a fleet
	StateDone          State = "Done"
	StateFailed        State = "Failed"
	StateCanceled      State = "Canceled"
)

// Types of application errors, by which a failure can be told apart.
const (
	ErrorArgument      = "Argument"      // a wrong input, source or configuration of a worker; the message names the field or the variable
	ErrorRefused       = "Refused"       // by the service, as for an unknown image; or a failure that the next attempt would meet again
	ErrorState         = "State"         // a job that ended badly
	ErrorSourceChanged = "SourceChanged" // since the upload began
	ErrorAmbiguous     = "Ambiguous"     // a call whose outcome only a person can find out
	ErrorNotApproved   = "NotApproved"   // a release that somebody refused, or nobody approved
	ErrorGivenUp       = "GivenUp"       // what a person decided not to go on with
	ErrorFleet         = "Fleet"         // a fleet of which images failed
	ErrorTransient     = "Transient"     // it is retried
	ErrorPending       = "Pending"       // a job that still runs, which the next attempt polls
)

// UploadImageInput is the input of UploadImage.
type UploadImageInput struct {
	// Application, Version, OperatingSystem and FileName name the image. All but
	// FileName are required, which defaults to the last element of Source.
	Application     string `json:"application"`
	Version         string `json:"version"`
	OperatingSystem string `json:"operatingSystem"`
	FileName        string `json:"fileName,omitempty"`
	// Source is the path of a file that all workers see, or an http or https URL
	// of a server that supports ranges, or a URL of a scheme that the workers
	// know. Required. It has no user info and no query, as these are often
	// credentials.
	Source string `json:"source"`
	// OverwriteStorageFile, ChunkSize, Concurrency and BytesPerSecond are those of
	// [oraclemarket.ImageUpload].
	OverwriteStorageFile *bool `json:"overwriteStorageFile,omitempty"`
	ChunkSize            int64 `json:"chunkSize,omitempty"`
	Concurrency          int   `json:"concurrency,omitempty"`
	BytesPerSecond       int64 `json:"bytesPerSecond,omitempty"`
	// Parts splits the image into as many parts, which are uploaded in parallel
	// by as many workers as there are. 0 and 1 upload it as a whole.
	Parts int `json:"parts,omitempty"`
}

// Name returns FileName or its default.
func (in UploadImageInput) Name() string {
	return cmp.Or(in.FileName, in.Source[strings.LastIndexAny(in.Source, `/\`)+1:])
}

// CopyImageInput is the input of CopyImage.
type CopyImageInput struct {
	// ImageID is the image, a UUID. Required.
	ImageID string `json:"imageId"`
	// TenantIDs are the tenants to copy to, each of which belongs to a region. At
	// least one is required.
	TenantIDs []string `json:"tenantIds"`
	// CancelOnFailure cancels the other copies once one has failed.
	CancelOnFailure bool `json:"cancelOnFailure,omitempty"`
}

// Copy is the copy to one tenant.
type Copy struct {
	TenantID           string `json:"tenantId"`
	JobID              string `json:"jobId,omitempty"`
	Status             string `json:"status,omitempty"`
	DestinationImageID string `json:"destinationImageId,omitempty"`
	// Error is why there is no copy, empty if there is. ErrorType is its type.
	Error     string `json:"error,omitempty"`
	ErrorType string `json:"errorType,omitempty"`
}

// ReleaseImageInput is the input of ReleaseImage. The fields are those of
// [multiplay.ReleaseRequest].
type ReleaseImageInput struct {
	ImageID     int64  `json:"imageId"`
	GameID      int64  `json:"gameId,omitempty"`
	MachineID   int64  `json:"machineId"`
	Description string `json:"description"`
	// Source names the source of the files: the variable MULTIPLAY_SOURCE_URL_name
	// of the workers. Empty means MULTIPLAY_SOURCE_URL, or the image's default
	// source if that is not set.
	Source string `json:"source,omitempty"`

	Restart           bool          `json:"restart,omitempty"`
	Force             bool          `json:"force,omitempty"`
	Full              bool          `json:"full,omitempty"`
	GameBuild         string        `json:"gameBuild,omitempty"`
	Install           string        `json:"install,omitempty"`
	InstallAt         time.Time     `json:"installAt,omitzero"`
	DisableTimeout    time.Duration `json:"disableTimeout,omitempty"`
	DisablePercentage float64       `json:"disablePercentage,omitempty"`
	RejectLocking     bool          `json:"rejectLocking,omitempty"`
	Retries           int           `json:"retries,omitempty"`

	// Approve releases without asking. Otherwise the workflow waits for an
	// [Approval] once the diff is complete.
	Approve bool `json:"approve,omitempty"`
	// ApprovalTimeout bounds that wait. 0 means no limit.
	ApprovalTimeout time.Duration `json:"approvalTimeout,omitempty"`
}

// ReleaseIDs are the jobs of a release, 0 for those that there are not yet.
type ReleaseIDs struct {
	UpdateID       int64 `json:"updateId,omitempty"`
	DiffID         int64 `json:"diffId,omitempty"`
	ImageVersionID int64 `json:"imageVersionId,omitempty"`
}

// PublishFleetInput is the input of PublishFleet.
type PublishFleetInput struct {
	// Name identifies the fleet, as its workflow id does. Required.
	Name string `json:"name"`
	// Images are what to do, at most 1,000.
	Images []FleetImage `json:"images"`
	// MaxRunning bounds how many run at once, 10 by default.
	MaxRunning int `json:"maxRunning,omitempty"`
	// StopOnFailure starts no more images once one has failed. Those that run go
	// on.
	StopOnFailure bool `json:"stopOnFailure,omitempty"`
}

// FleetImage is one workflow of a fleet: exactly one field is set.
type FleetImage struct {
	Upload  *UploadImageInput  `json:"upload,omitempty"`
	Copy    *CopyImageInput    `json:"copy,omitempty"`
	Release *ReleaseImageInput `json:"release,omitempty"`
}

// FleetStatus is the status of a PublishFleet, and its result. If images
// failed, it is in the details of the error as well.
type FleetStatus struct {
	Total   int `json:"total"`
	Running int `json:"running"`
	Done    int `json:"done"`
	Failed  int `json:"failed"`
	// Images are in the order of the input.
	Images []FleetImageStatus `json:"images"`
}

// FleetImageStatus is one image of a fleet.
type FleetImageStatus struct {
	WorkflowID string `json:"workflowId"`
	// State is empty until the image's workflow starts.
	State State `json:"state,omitempty"`
	// Error is why it failed.
	Error string `json:"error,omitempty"`
}

// Status is the status of the workflow of one image, and its result. If it failed
// or was canceled, it is in the details of the error.
type Status struct {
	State State `json:"state"`
	// UploadRequestID, Copies and Release are what the service has, as far as the
	// workflow knows.
	UploadRequestID int64       `json:"uploadRequestId,omitempty"`
	Copies          []Copy      `json:"copies,omitempty"`
	Release         *ReleaseIDs `json:"release,omitempty"`
	// Version is that of the source of an upload in parts, and ImageFilePath where
	// the service has the image of an upload that is Completed.
	Version       string `json:"version,omitempty"`
	ImageFilePath string `json:"imageFilePath,omitempty"`
	// Machines counts those that have the version of a release, and ApprovedBy is
	// empty if nobody was asked.
	Machines   int64  `json:"machines,omitempty"`
	ApprovedBy string `json:"approvedBy,omitempty"`
	// Problem is what a person has to decide or to approve.
	Problem string `json:"problem,omitempty"`
	// Left is what a run that was canceled or failed left on the service.
	Left []string `json:"left,omitempty"`
}

// Action is what to do about a call whose outcome is not known.
type Action string

// Actions.
const (
	Adopt  Action = "adopt"   // go on with the job whose id is given
	Repeat Action = "repeat"  // make the call again: it did not take effect
	GiveUp Action = "give-up" // end the workflow
)

// Decision is what a person found out about a call whose outcome was not
// known.
type Decision struct {
	Action Action `json:"action"`
	// ID is what to adopt: an upload request, a copy job, or the update, diff or
	// version of a release.
	ID string `json:"id,omitempty"`
	// By is who decided. Optional.
	By string `json:"by,omitempty"`
}

// Approval is what a person says to a release.
type Approval struct {
	Approved bool `json:"approved"`
	// By is who. Required.
	By string `json:"by"`
	// Comment is free text. Optional.
	Comment string `json:"comment,omitempty"`
}

// UploadID is the workflow id of an upload: the image it makes.
func UploadID(in UploadImageInput) string {
	return id("upload", in.Application, in.Version, in.OperatingSystem, in.Name())
}

// CopyID is the workflow id of a copy: the image and its tenants, in any order.
func CopyID(in CopyImageInput) string {
	tenants := slices.Compact(slices.Sorted(slices.Values(in.TenantIDs)))
	if len(tenants) == 1 {
		return id("copy", in.ImageID, tenants[0])
	}
	sum := sha256.Sum256([]byte(strings.Join(tenants, ",")))
	return id("copy", in.ImageID, hex.EncodeToString(sum[:8]))
}

// ReleaseID is the workflow id of a release: the image and its build, or the
// description without one.
func ReleaseID(in ReleaseImageInput) string {
	return id("release", strconv.FormatInt(in.ImageID, 10), cmp.Or(in.GameBuild, in.Description))
}

// FleetID is the workflow id of a fleet.
func FleetID(in PublishFleetInput) string { return id("fleet", in.Name) }

func id(elem ...string) string {
	for i, s := range elem {
		elem[i] = url.PathEscape(s)
	}
	return strings.Join(elem, "/")
}
