package oraclemarkettest

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// container is the first segment of imageFilePath: where the service keeps a
// partner's images.
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
	receipts  map[int]int   // by number, how often it was received
	arrivals  []time.Time   // of chunks that were new
	order     []*blob       // the image: its chunks in order, or the whole file; nil until complete
	started   time.Time     // when it was complete and its job started
	sum       string        // MD5 of the image once computed

	sites   []site
	deleted time.Time

	preset *preset // in place of bytes that were never uploaded
	hidden bool    // not in lists
}

// preset is the state of an upload request that no client made.
type preset struct {
	status Status
	since  time.Time
	size   int64
}

func (p *preset) state() state {
	percent := 0
	if p.status == Completed {
		percent = 100
	}
	return state{p.status, p.since, percent}
}

// spec is the JSON that comes with a create or initiate call.
type spec struct {
	Application          string
	Version              string
	OperatingSystem      string
	OverwriteStorageFile bool
}

// DataCenter is a data center that uploads go to; see [WithDataCenters].
type DataCenter struct {
	Name    string // as delete and copy calls name it
	Region  string // as shown
	Replica bool   // as shown
}

// site is an image in one data center.
type site struct {
	DataCenter
	copied      bool
	overwritten bool
	started     time.Time // of the copying; zero if it came with the upload
	deleted     time.Time
}

// imagePath returns the path by which storage calls name an image.
func (u *upload) imagePath() string {
	return strings.Join([]string{"mi", u.spec.Application, u.spec.Version, u.spec.OperatingSystem, u.fileName}, "/")
}

// uploadedChunks counts the received chunks; a whole file counts as one.
func (u *upload) uploadedChunks() int {
	switch {
	case u.announced == 0:
		return 1
	case u.preset != nil:
		return u.announced
	}
	return len(u.chunks)
}

// counts returns the chunk counts as the server shows them, given how many
// chunks have been counted.
func (s *Server) counts(u *upload, uploaded int) *chunkCounts {
	if s.config.dialect.NoChunkCounts {
		return nil
	}
	return &chunkCounts{UploadedChunks: uploaded, PendingChunks: max(u.announced-uploaded, 0)}
}

// countedChunks returns how many chunks Get and List count, which lags behind.
func (s *Server) countedChunks(u *upload) int {
	uploaded := u.uploadedChunks()
	now := s.core.Clock().Now()
	for _, arrived := range u.arrivals {
		if now.Before(arrived.Add(s.config.countLag)) {
			uploaded--
		}
	}
	return uploaded
}

// listed reports whether lists show an upload request yet.
func (s *Server) listed(u *upload) bool {
	return !u.hidden && !s.core.Clock().Now().Before(u.created.Add(s.config.listLag))
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

// blobs returns all blobs that the upload request holds.
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

// state is the state of an upload request, or of its image in one data center.
type state struct {
	status  Status
	since   time.Time
	percent int
}

// stateOf returns the state, which follows from the time alone. The caller
// holds s.mu.
func (s *Server) stateOf(u *upload) state {
	switch {
	case !u.deleted.IsZero() && u.outcome == CannotBeDeleted:
		return state{DeletionFailed, u.deleted, 100}
	case !u.deleted.IsZero():
		return state{Deleted, u.deleted, 0}
	case u.preset != nil:
		return u.preset.state()
	case u.started.IsZero():
		return state{Initiated, u.created, 0}
	}
	clock := s.core.Clock()
	ran := clock.Since(u.started)
	status, since := u.outcome.timeline(s.config.jobTime).At(ran)
	return state{status, clock.At(u.started, since), u.outcome.percent(ran, s.config.jobTime)}
}

// siteState returns the state of an upload request's image in one data center.
// The caller holds s.mu.
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

// available reports whether a data center has the image. While it is being
// overwritten, the old one is still there.
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

// record returns the upload request as responses show it. The caller holds
// s.mu.
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
		chunkCounts:                   s.counts(u, s.countedChunks(u)),
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

// modified returns when an upload request last changed.
func (s *Server) modified(u *upload) time.Time {
	if since := s.stateOf(u).since; since.After(u.touched) {
		return since
	}
	return u.touched
}

// modifiedBy returns the user while chunks are uploaded, and then the name that
// the samples show.
func (u *upload) modifiedBy() string {
	if u.started.IsZero() && u.preset == nil {
		return u.user
	}
	return "anonymous"
}

// newUpload adds an upload request. The caller holds s.mu.
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

// find returns the upload request that the path names. The caller holds s.mu.
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

// inOrder returns all upload requests in the order of their ids.
func (s *Server) inOrder() []*upload {
	all := make([]*upload, 0, len(s.uploads))
	for _, u := range s.uploads {
		all = append(all, u)
	}
	slices.SortFunc(all, func(a, b *upload) int { return cmp.Compare(a.id, b.id) })
	return all
}
