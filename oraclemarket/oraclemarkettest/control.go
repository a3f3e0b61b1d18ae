package oraclemarkettest

import (
	"time"
)

// outcomes are how upload requests that are still to come will end. Server.mu guards them.
type outcomes struct {
	usual         Outcome
	next          []Outcome
	byApplication map[string]Outcome
}

// take decides the outcome of a new upload request.
func (o *outcomes) take(application string) Outcome {
	if outcome, ok := o.byApplication[application]; ok {
		return outcome
	}
	if len(o.next) > 0 {
		outcome := o.next[0]
		o.next = o.next[1:]
		return outcome
	}
	return o.usual
}

// SetOutcome decides how an upload request ends and says whether there is one with that id. One that has already ended
// otherwise ends anew: what it is follows from the time since its merge.
func (s *Server) SetOutcome(id int64, outcome Outcome) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	u, ok := s.uploads[id]
	if ok {
		u.outcome = outcome
	}
	return ok
}

// SetNextOutcome decides how the next upload request to be made ends. Calls add up: the second call is for the one after.
func (s *Server) SetNextOutcome(outcome Outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outcomes.next = append(s.outcomes.next, outcome)
}

// SetApplicationOutcome decides how all upload requests of an application end that are still to be made. It comes before
// [Server.SetNextOutcome].
func (s *Server) SetApplicationOutcome(application string, outcome Outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outcomes.byApplication[application] = outcome
}

// Image is an image that is in the service before anybody uploads it: see [Server.AddImage].
type Image struct {
	Application     string
	Version         string
	OperatingSystem string
	FileName        string
	Size            int64
	User            string    // the server's User if empty
	Completed       time.Time // now if zero
}

// AddImage adds a Completed upload request without bytes, in all data centers, and returns its id.
func (s *Server) AddImage(image Image) int64 {
	if image.User == "" {
		image.User = s.User
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
		preset:   &preset{size: image.Size, completed: image.Completed},
	}).id
}

// SampleID is the id of the upload request in the documentation's sample. Every server has it, so that the printed curl
// command works. Since it is not one of the caller's it is in no list.
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
		preset:    &preset{completed: time.Date(2018, 6, 12, 4, 52, 51, 1e6, time.UTC)},
		hidden:    true,
	}
}
