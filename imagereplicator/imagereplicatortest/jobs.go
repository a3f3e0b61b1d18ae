package imagereplicatortest

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/internal/emulator"
)

// job is a copy as it was requested: its state follows from the clock.
type job struct {
	imagereplicator.Job // without what changes
	destinationImage    string
	created             time.Time
	canceled            time.Time              // zero for never
	fixed               imagereplicator.Status // whatever the clock shows
}

// now returns the job in its present state. s.mu is held.
func (s *Server) now(j *job) imagereplicator.Job {
	clock := s.core.Clock()
	shown := j.Job
	if j.fixed != "" {
		shown.Status = j.fixed
		if j.fixed == imagereplicator.StatusReplicated {
			shown.CopyProgress, shown.DestinationImageID = 100, j.destinationImage
		}
		return shown
	}
	ran := clock.Since(j.created)
	copying := s.copying()
	if !j.canceled.IsZero() && !s.config.lostCancel {
		// What was copied until then stays.
		shown = j.at(copying, clock.Since(j.created)-clock.Since(j.canceled), s.config.jobTime)
		shown.Status, _ = emulator.Timeline[imagereplicator.Status]{
			{State: imagereplicator.StatusCancelRequested, For: s.config.cancelLag},
			{State: imagereplicator.StatusCanceling, For: s.config.cancelLag / 4},
			{State: imagereplicator.StatusCanceled},
		}.At(clock.Since(j.canceled))
		return shown
	}
	shown = j.at(copying, ran, s.config.jobTime)
	if !j.canceled.IsZero() && shown.Status.Cancelable() {
		shown.Status = imagereplicator.StatusCancelRequested
	}
	return shown
}

// copying returns the states of a job that is not canceled.
func (s *Server) copying() emulator.Timeline[imagereplicator.Status] {
	waiting := s.config.jobTime / 6
	rest := s.config.jobTime - waiting
	if s.config.outcome == imagereplicator.StatusError {
		rest /= 2
	}
	return emulator.Timeline[imagereplicator.Status]{
		{State: imagereplicator.StatusReplicateRequested, For: waiting},
		{State: imagereplicator.StatusReplicating, For: rest},
		{State: s.config.outcome},
	}
}

// at returns the job after it has run for ran.
func (j *job) at(way emulator.Timeline[imagereplicator.Status], ran, total time.Duration) imagereplicator.Job {
	shown := j.Job
	var since time.Duration
	shown.Status, since = way.At(ran)
	if shown.Status == imagereplicator.StatusReplicateRequested {
		return shown
	}
	shown.DestinationImageID = j.destinationImage
	if shown.Status.Terminal() {
		ran = since
	}
	waiting := way[0].For
	shown.CopyProgress = int64(emulator.Percent(ran-waiting, total-waiting))
	return shown
}

// addSample adds the job of the execution example.
func (s *Server) addSample() {
	s.jobs = append(s.jobs, &job{
		Job: imagereplicator.Job{
			ID:                  JobID,
			SourceImageID:       ImageID,
			SourceImageName:     "Test-image-Ubuntu",
			SourceRegionID:      Region,
			SourceTenantID:      TenantID,
			DestinationRegionID: DestinationRegion,
			DestinationTenantID: DestinationTenantID,
		},
		destinationImage: newUUID(),
		fixed:            imagereplicator.StatusCancelRequested,
	})
}

// Jobs returns all jobs in their current state, in the order of their creation,
// the one of the execution example first.
func (s *Server) Jobs() []imagereplicator.Job {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]imagereplicator.Job, len(s.jobs))
	for i, j := range s.jobs {
		all[i] = s.now(j)
	}
	return all
}

// SetStatus puts a job into a state, known or not, in which it stays. It reports
// whether the job exists.
func (s *Server) SetStatus(jobID string, status imagereplicator.Status) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, j := range s.jobs {
		if j.ID == jobID {
			j.Job = s.now(j)
			j.fixed = status
			return true
		}
	}
	return false
}

// uuidLike matches parameters of type UUID; tenant ids have no dashes.
var uuidLike = regexp.MustCompile(`^[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}$`)

func (s *Server) create(w http.ResponseWriter, r *http.Request, tenant string) {
	if mediaType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); mediaType != "application/json" {
		writeWebob(w, r, http.StatusUnsupportedMediaType, "The content type must be application/json.")
		return
	}
	var request struct {
		ImageID     string `json:"image_id"`
		TenantIDDst string `json:"tenant_id_dst"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&request); err != nil {
		writeWebob(w, r, http.StatusBadRequest, "The request body is not the JSON object expected.")
		return
	}
	image, imageKnown := s.config.images[request.ImageID]
	region, tenantKnown := s.config.tenants[request.TenantIDDst]
	switch {
	case !imageKnown && !uuidLike.MatchString(request.ImageID):
		writeWebob(w, r, http.StatusBadRequest, "image_id must be a UUID.")
		return
	case !tenantKnown && !uuidLike.MatchString(request.TenantIDDst):
		writeWebob(w, r, http.StatusBadRequest, "tenant_id_dst must be a UUID.")
		return
	case !imageKnown:
		writeWebob(w, r, http.StatusNotFound, fmt.Sprintf("No image found with ID %s", request.ImageID))
		return
	case !tenantKnown:
		writeWebob(w, r, http.StatusNotFound, fmt.Sprintf("No tenant found with ID %s", request.TenantIDDst))
		return
	case image.Status != "" && image.Status != "active":
		writeWebob(w, r, http.StatusConflict, fmt.Sprintf("Image %s is not active", request.ImageID))
		return
	}
	j := &job{
		Job: imagereplicator.Job{
			ID:                  newUUID(),
			SourceImageID:       image.ID,
			SourceImageName:     image.Name,
			SourceRegionID:      s.config.tenants[tenant],
			SourceTenantID:      tenant,
			DestinationRegionID: region,
			DestinationTenantID: request.TenantIDDst,
		},
		destinationImage: newUUID(),
		created:          s.core.Clock().Now(),
	}
	s.mu.Lock()
	s.jobs = append(s.jobs, j)
	s.mu.Unlock()
	writeJSON(w, http.StatusAccepted, fmt.Sprintf(`{"job_id": %s}`, quote(j.ID)))
}

func (s *Server) list(w http.ResponseWriter, _ *http.Request, tenant string) {
	s.mu.Lock()
	var items []string
	now := s.core.Clock().Now()
	for _, j := range s.jobs {
		if j.SourceTenantID == tenant && !now.Before(j.created.Add(s.config.listLag)) {
			items = append(items, encode(s.now(j)))
		}
	}
	s.mu.Unlock()
	writeJSON(w, http.StatusOK, "["+strings.Join(items, ", ")+"]")
}

func (s *Server) get(w http.ResponseWriter, r *http.Request, tenant string) {
	s.mu.Lock()
	j := s.find(r, tenant)
	var body string
	if j != nil {
		body = encode(s.now(j))
	}
	s.mu.Unlock()
	if j == nil {
		writeUnknownJob(w, r)
		return
	}
	writeJSON(w, http.StatusOK, body)
}

func (s *Server) cancel(w http.ResponseWriter, r *http.Request, tenant string) {
	s.mu.Lock()
	j := s.find(r, tenant)
	var id string
	var status imagereplicator.Status
	if j != nil {
		id, status = j.ID, s.now(j).Status
		if status.Cancelable() {
			j.canceled = s.core.Clock().Now()
			if j.fixed != "" {
				j.fixed = imagereplicator.StatusCancelRequested
			}
		}
	}
	s.mu.Unlock()
	switch {
	case j == nil:
		writeUnknownJob(w, r)
	case !status.Cancelable():
		writeWebob(w, r, http.StatusConflict, fmt.Sprintf("Job %s cannot be canceled: its status is %s", id, status))
	default:
		w.Header().Set("Content-Type", jsonType)
		w.Header().Set("Content-Length", "0") // as printed, although not needed with this status
		w.WriteHeader(http.StatusNoContent)
	}
}

// find returns the job that the path names if it is the tenant's. s.mu is held.
func (s *Server) find(r *http.Request, tenant string) *job {
	id := r.PathValue("id")
	i := slices.IndexFunc(s.jobs, func(j *job) bool { return j.ID == id && j.SourceTenantID == tenant })
	if i < 0 {
		return nil
	}
	return s.jobs[i]
}

func writeUnknownJob(w http.ResponseWriter, r *http.Request) {
	writeWebob(w, r, http.StatusNotFound, fmt.Sprintf("No job found with ID %s", r.PathValue("id")))
}

const jsonType = "application/json; charset=UTF-8"

func writeJSON(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", jsonType)
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body))
}

// encode returns the job with the keys in the order and with the spaces of the
// execution example.
func encode(j imagereplicator.Job) string {
	destinationImage := "null"
	if j.DestinationImageID != "" {
		destinationImage = quote(j.DestinationImageID)
	}
	return fmt.Sprintf(`{"copy_progress": %d, "destination_image_id": %s, "destination_region_id": %s, "destination_tenant_id": %s, `+
		`"job_id": %s, "source_image_id": %s, "source_image_name": %s, "source_region_id": %s, "source_tenant_id": %s, "status": %s}`,
		j.CopyProgress, destinationImage, quote(j.DestinationRegionID), quote(j.DestinationTenantID),
		quote(j.ID), quote(j.SourceImageID), quote(j.SourceImageName), quote(j.SourceRegionID), quote(j.SourceTenantID),
		quote(string(j.Status)))
}

func quote(s string) string {
	data, _ := json.Marshal(s) // never fails for a string
	return string(data)
}

func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
