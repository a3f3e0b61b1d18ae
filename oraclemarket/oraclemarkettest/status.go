package oraclemarkettest

import (
	"strings"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/emulator"
)

// Status is the state of an upload request, spelled like the only one that the
// documentation shows in a response.
type Status string

// The states of an upload request.
const (
	Initiated           Status = "Initiated"              // chunks are being uploaded
	Pending             Status = "Pending"                // merged, or received as a whole file
	InProgress          Status = "In Progress"            // on its way to the data centers
	VirusScanInProgress Status = "Virus Scan In Progress" // the last step
	Completed           Status = "Completed"              // terminal
	Failed              Status = "Failed"                 // terminal
	Rejected            Status = "Rejected"               // terminal
	Deleted             Status = "Deleted"                // terminal
	DeletionFailed      Status = "Deletion Failed"        // terminal
)

var statuses = []Status{
	Initiated, Pending, InProgress, VirusScanInProgress, Completed, Failed, Rejected, Deleted, DeletionFailed,
}

// misprinted are the two names that the documentation's list of filter values
// misspells.
var misprinted = map[Status]string{InProgress: "IN PROGESS", DeletionFailed: "DELECTION FAILED"}

// parseStatus reads a filter value in any case and either spelling.
func parseStatus(text string) (Status, bool) {
	text = strings.Join(strings.Fields(text), " ")
	for _, status := range statuses {
		if strings.EqualFold(text, string(status)) || strings.EqualFold(text, misprinted[status]) {
			return status, true
		}
	}
	return "", false
}

// spell returns the status as responses have it.
func (s *Server) spell(status Status) string {
	if !s.config.dialect.PrintedStatuses {
		return string(status)
	}
	if wrong, ok := misprinted[status]; ok {
		return wrong
	}
	return strings.ToUpper(string(status))
}

// Outcome is how an upload request ends.
type Outcome int

// The ways for an upload request to end.
const (
	// Completes passes through Pending, In Progress and Virus Scan In Progress
	// to Completed.
	Completes Outcome = iota
	// Fails ends as Failed once half of the bytes are in the data centers.
	Fails
	// IsRejected ends as Rejected after the virus scan.
	IsRejected
	// GetsStuck stays In Progress, half done, forever.
	GetsStuck
	// CannotBeDeleted completes, but an acknowledged delete leaves it Deletion
	// Failed.
	CannotBeDeleted
)

// timeline returns the states of an upload request once its bytes are received.
// total is the time that [Completes] takes.
func (o Outcome) timeline(total time.Duration) emulator.Timeline[Status] {
	pending := emulator.In(Pending, total/10)
	transfer := emulator.In(InProgress, total*6/10)
	scan := emulator.In(VirusScanInProgress, total*3/10)
	switch o {
	case Fails:
		transfer.For /= 2
		return emulator.Timeline[Status]{pending, transfer, emulator.In(Failed, 0)}
	case IsRejected:
		return emulator.Timeline[Status]{pending, transfer, scan, emulator.In(Rejected, 0)}
	case GetsStuck:
		return emulator.Timeline[Status]{pending, transfer}
	case Completes, CannotBeDeleted:
	}
	return emulator.Timeline[Status]{pending, transfer, scan, emulator.In(Completed, 0)}
}

// percent returns how much of an upload is in the data centers once the job has
// run for ran.
func (o Outcome) percent(ran, total time.Duration) int {
	done := emulator.Percent(ran-total/10, total*6/10)
	if o == Fails || o == GetsStuck {
		return min(done, 50)
	}
	return done
}

// copyTimeline returns the states of a copy to another data center, which takes
// as long as an upload.
func copyTimeline(total time.Duration) emulator.Timeline[Status] {
	return emulator.Timeline[Status]{
		emulator.In(Pending, total/10), emulator.In(InProgress, total*9/10), emulator.In(Completed, 0),
	}
}

// copyPercent returns how much of a copy is done.
func copyPercent(ran, total time.Duration) int {
	return emulator.Percent(ran-total/10, total*9/10)
}
