package oraclemarket

import (
	"strings"

	"github.com/imagejobs/imagejobs-go/internal/lenient"
)

// Status is the state of an upload request, or of one data center's part of it.
//
// The only value seen in an answer is "Completed"; the documentation lists the
// others as filter values, in upper case and with two of them misspelt. They
// are decoded to these constants whatever their case and spelling. A status
// that is not known is kept as the service sent it.
type Status string

// The documented statuses. What leads from one to the next is not documented:
// the likely way is Initiated (before the merge), Pending, In Progress, Virus
// Scan In Progress, and one of the terminal ones.
const (
	StatusInitiated           Status = "Initiated"
	StatusPending             Status = "Pending"
	StatusInProgress          Status = "In Progress"
	StatusVirusScanInProgress Status = "Virus Scan In Progress"
	StatusCompleted           Status = "Completed"
	StatusFailed              Status = "Failed"
	StatusRejected            Status = "Rejected"
	StatusDeleted             Status = "Deleted"
	StatusDeletionFailed      Status = "Deletion Failed"
)

// statuses pairs each status with its spelling in the documented filter list.
var statuses = []struct {
	status  Status
	printed string
}{
	{StatusInitiated, "INITIATED"},
	{StatusPending, "PENDING"},
	{StatusInProgress, "IN PROGESS"}, // as printed; PROGRESS on the wire is as likely
	{StatusVirusScanInProgress, "VIRUS SCAN IN PROGRESS"},
	{StatusCompleted, "COMPLETED"},
	{StatusFailed, "FAILED"},
	{StatusRejected, "REJECTED"},
	{StatusDeleted, "DELETED"},
	{StatusDeletionFailed, "DELECTION FAILED"}, // as printed; meant is DELETION
}

// parseStatus is the constant for text in any of its spellings, else text.
func parseStatus(text string) Status {
	folded := strings.ReplaceAll(strings.ReplaceAll(strings.TrimSpace(text), "_", " "), "-", " ")
	for _, s := range statuses {
		if strings.EqualFold(folded, string(s.status)) || strings.EqualFold(folded, s.printed) {
			return s.status
		}
	}
	return Status(text)
}

// filterValue is the status as the list's filter wants it.
func (s Status) filterValue() string {
	for _, known := range statuses {
		if parseStatus(string(s)) == known.status {
			return known.printed
		}
	}
	return string(s)
}

// Terminal tells whether the request has ended, well or badly. A status that
// is not known has not.
func (s Status) Terminal() bool { return s == StatusCompleted || s.failed() }

// failed tells whether the request ended badly.
func (s Status) failed() bool {
	switch s {
	case StatusFailed, StatusRejected, StatusDeleted, StatusDeletionFailed:
		return true
	default:
		return false
	}
}

// UnmarshalJSON implements json.Unmarshaler.
func (s *Status) UnmarshalJSON(data []byte) error {
	var text lenient.String
	if err := text.UnmarshalJSON(data); err != nil {
		return err
	}
	*s = parseStatus(string(text))
	return nil
}
