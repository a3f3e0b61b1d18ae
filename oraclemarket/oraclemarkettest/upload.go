package oraclemarkettest

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// container is where the service keeps a partner's images: the first segment of imageFilePath.
const container = "oracle_pdc2"

// upload is one upload request. All fields but id are guarded by Server.mu.
type upload struct {
	id       int64
	spec     spec
	fileName string
	user     string
	created  time.Time
	touched  time.Time // by the last request that changed it
	outcome  Outcome

	announced int           // X-Number-Of-Chunks; 0 for a whole file
	chunks    map[int]*blob // by number
	receipts  map[int]int   // by number, how often it came
	order     []*blob       // the image: its chunks in order, or the whole file; nil until complete
	started   time.Time     // when it became complete, with which its job starts
	sum       string        // MD5 of the image once computed

	sites   []site
	deleted time.Time

	preset *preset // what stands in for bytes that were never uploaded
	hidden bool    // not in lists
}

// preset is the state of an upload request that was complete before the server started.
type preset struct {
	size      int64
	completed time.Time
}

// spec is the JSON that comes with a create or initiate call.
type spec struct {
	Application          string
	Version              string
	OperatingSystem      string
	OverwriteStorageFile bool
}

// DataCenter is a data center that uploads go to.
type DataCenter struct {
	Name    string
	Region  string
	Replica bool
}

// site is an image in one data center.
type site struct {
	DataCenter
	copied      bool
	overwritten bool
	started     time.Time // of the copying; zero if it came with the upload
	deleted     time.Time
}

// imagePath is what the storage calls know an image by.
func (u *upload) imagePath() string {
	return strings.Join([]string{"mi", u.spec.Application, u.spec.Version, u.spec.OperatingSystem, u.fileName}, "/")
}

// uploadedChunks counts the chunks that were received; a whole file counts as one.
func (u *upload) uploadedChunks() int {
	switch {
	case u.announced == 0:
		return 1
	case u.preset != nil:
		return u.announced
	}
	return len(u.chunks)
}

func (u *upload) pendingChunks() int {
	return max(u.announced-u.uploadedChunks(), 0)
}

func (u *upload) size() (n int64) {
	if u.preset != nil {
		return u.preset.size
	}
	for _, b := range u.blobs() {
		n += b.size
	}
	return n
}

// blobs are all blobs that the upload request holds.
func (u *upload) blobs() []*blob {
	if u.order != nil {
		return u.order
	}
	blobs := make([]*blob, 0, len(u.chunks))
	for _, b := range u.chunks {
		blobs = append(blobs, b)
	}
	return blobs
}

// state is what has become of an upload request, or of its part in one data center.
type state struct {
	status  Status
	since   time.Time
	percent int
}

// stateOf follows from the time alone. The caller holds s.mu.
func (s *Server) stateOf(u *upload) state {
	switch {
	case !u.deleted.IsZero() && u.outcome == CannotBeDeleted:
		return state{DeletionFailed, u.deleted, 100}
	case !u.deleted.IsZero():
		return state{Deleted, u.deleted, 0}
	case u.preset != nil:
		return state{Completed, u.preset.completed, 100}
	case u.started.IsZero():
		return state{Initiated, u.created, 0}
	}
	clock := s.core.Clock()
	ran := clock.Since(u.started)
	status, since := u.outcome.timeline(s.config.jobTime).At(ran)
	return state{status, clock.At(u.started, since), u.outcome.percent(ran, s.config.jobTime)}
}

// siteState is the state of an upload request's image in one data center. The caller holds s.mu.
func (s *Server) siteState(u *upload, at *site) state {
	whole := s.stateOf(u)
	switch {
	case whole.status == Deleted || whole.status == DeletionFailed:
		return whole
	case !at.deleted.IsZero():
		return state{Deleted, at.deleted, 0}
	case at.started.IsZero():
		return whole
	}
	clock := s.core.Clock()
	ran := clock.Since(at.started)
	status, since := copyTimeline(s.config.jobTime).At(ran)
	return state{status, clock.At(at.started, since), copyPercent(ran, s.config.jobTime)}
}

// available says whether a data center has the image. One that is being overwritten goes on having it.
func (s *Server) available(u *upload, at *site) bool {
	switch status := s.siteState(u, at).status; status {
	case Completed, DeletionFailed:
		return true
	case Pending, InProgress:
		return at.overwritten
	default:
		return false
	}
}

// record is the upload request as the answers have it. The caller holds s.mu.
func (s *Server) record(u *upload) machineImage {
	now := s.stateOf(u)
	record := machineImage{
		UploadRequestID:               u.id,
		Application:                   u.spec.Application,
		Version:                       u.spec.Version,
		OperatingSystem:               u.spec.OperatingSystem,
		FileName:                      u.fileName,
		ImageFilePath:                 container + "/" + u.imagePath(),
		StatusName:                    s.spell(now.status),
		UploadedChunks:                u.uploadedChunks(),
		PendingChunks:                 u.pendingChunks(),
		CreatedBy:                     u.user,
		CreatedDate:                   jsonDate(u.created),
		LastModifiedBy:                u.modifiedBy(),
		LastModifiedDate:              jsonDate(s.modified(u)),
		OverwriteStorageFile:          u.spec.OverwriteStorageFile,
		DataCenterImageUploadRequests: []dataCenterImage{},
	}
	if now.status == Initiated {
		return record // nothing is on its way to a data center yet
	}
	for i := range u.sites {
		at := &u.sites[i]
		there := s.siteState(u, at)
		record.DataCenterImageUploadRequests = append(record.DataCenterImageUploadRequests, dataCenterImage{
			DataCenterName:    at.Name,
			StatusName:        s.spell(there.status),
			UploadProgress:    strconv.Itoa(there.percent) + "%",
			Region:            at.Region,
			LastUpdatedDate:   jsonDate(there.since),
			CopyUpload:        at.copied,
			OverwriteUpload:   at.overwritten,
			ReplicaDataCenter: at.Replica,
		})
	}
	return record
}

// modified is when an upload request last changed.
func (s *Server) modified(u *upload) time.Time {
	if since := s.stateOf(u).since; since.After(u.touched) {
		return since
	}
	return u.touched
}

// modifiedBy is the user while chunks come in, and from then on whom the samples name.
func (u *upload) modifiedBy() string {
	if u.started.IsZero() && u.preset == nil {
		return u.user
	}
	return "anonymous"
}

// newUpload files an upload request. The caller holds s.mu.
func (s *Server) newUpload(u *upload) *upload {
	s.lastID++
	u.id = s.lastID
	u.chunks = map[int]*blob{}
	u.receipts = map[int]int{}
	for _, dc := range s.config.dataCenters {
		u.sites = append(u.sites, site{DataCenter: dc})
	}
	s.uploads[u.id] = u
	return u
}

// find returns the upload request that a path names. The caller holds s.mu.
func (s *Server) find(r *http.Request) (*upload, error) {
	text := r.PathValue("id")
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return nil, badRequest("the upload request id %q is not a number", text)
	}
	u, ok := s.uploads[id]
	if !ok {
		return nil, fail(http.StatusNotFound, "there is no upload request %d", id)
	}
	return u, nil
}

// inOrder returns all upload requests, by id.
func (s *Server) inOrder() []*upload {
	all := make([]*upload, 0, len(s.uploads))
	for _, u := range s.uploads {
		all = append(all, u)
	}
	slices.SortFunc(all, func(a, b *upload) int { return cmp.Compare(a.id, b.id) })
	return all
}
