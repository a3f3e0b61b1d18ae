package oraclemarkettest

import "time"

// outcomes are the outcomes of future upload requests. Server.mu guards them.
type outcomes struct {
	usual Outcome
	next  []Outcome
}

// take returns the outcome of a new upload request.
func (o *outcomes) take() Outcome {
	if len(o.next) > 0 {
		outcome := o.next[0]
		o.next = o.next[1:]
		return outcome
	}
	return o.usual
}

// SetNextOutcome sets how the next new upload request ends. A second call sets
// the outcome of the one after that.
func (s *Server) SetNextOutcome(outcome Outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outcomes.next = append(s.outcomes.next, outcome)
}

// Image is an upload request that no client made; see [Server.AddImage].
type Image struct {
	// Application, Version and OperatingSystem name the image.
	Application     string
	Version         string
	OperatingSystem string
	// FileName is the image's file name.
	FileName string
	// Size is the file's length in bytes, which storage images show.
	Size int64
	// User is the X-Oracle-UserId; the server's User if empty.
	User string
	// Status is Completed if empty.
	Status Status
	// Completed is since when it has that status; now if zero.
	Completed time.Time
}

// AddImage adds an upload request that has no bytes and keeps its status, in
// all data centers, and returns its id.
func (s *Server) AddImage(image Image) int64 {
	if image.User == "" {
		image.User = s.User
	}
	if image.Status == "" {
		image.Status = Completed
	}
	if image.Completed.IsZero() {
		image.Completed = s.core.Clock().Now()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.newUpload(&upload{
		spec:     spec{Application: image.Application, Version: image.Version, OperatingSystem: image.OperatingSystem},
		fileName: image.FileName,
		user:     image.User,
		created:  image.Completed,
		touched:  image.Completed,
		preset:   &preset{status: image.Status, size: image.Size, since: image.Completed},
	}).id
}

// SampleID is the id of the upload request in the documentation's sample. Every
// server has it, so that the printed command works. It is in no list.
const SampleID = 2797087

func (s *Server) addSample() {
	s.uploads[SampleID] = &upload{
		id:        SampleID,
		spec:      spec{Application: "APS1826_WWP_061218", Version: "OL67", OperatingSystem: "Linux"},
		fileName:  "wordpress.tar.gz",
		user:      "John Doe",
		created:   time.Date(2018, 6, 12, 4, 28, 50, 1e6, time.UTC),
		touched:   time.Date(2018, 6, 12, 4, 28, 50, 1e6, time.UTC),
		announced: 75,
		sites:     []site{{DataCenter: DataCenter{Name: "US2 COMMERCIAL CHERRY", Region: "US2 Commercial Cherry"}}},
		preset:    &preset{status: Completed, since: time.Date(2018, 6, 12, 4, 52, 51, 1e6, time.UTC)},
		hidden:    true,
	}
}
