package oraclemarket

import (
	"strconv"
	"strings"
)

// Status is the state of an upload request, or of one data center's part of it.
//
// Only "Completed" appears in a documented response. The others are listed as
// filter values, in upper case, two of them misspelled. All are decoded to
// these constants, whatever their case and spelling. Any other value is kept as
// the service sent it.
type Status string

// The documented states. Their order is not documented; it is likely to be
// Initiated (before the merge), Pending, In Progress, Virus Scan In Progress,
// and one of the terminal ones.
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

// statuses pairs each state with its spelling in the documented filter list.
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

// parseStatus returns the constant for text in any of its spellings, or text.
func parseStatus(text string) Status {
	folded := strings.ReplaceAll(strings.ReplaceAll(strings.TrimSpace(text), "_", " "), "-", " ")
	for _, s := range statuses {
		if strings.EqualFold(folded, string(s.status)) || strings.EqualFold(folded, s.printed) {
			return s.status
		}
	}
	return Status(text)
}

// filterValue returns the state as the list's filter spells it.
func (s Status) filterValue() string {
	for _, known := range statuses {
		if parseStatus(string(s)) == known.status {
			return known.printed
		}
	}
	return string(s)
}

// Terminal reports whether an upload request in this state has ended, well or
// badly. Unknown states have not.
func (s Status) Terminal() bool { return s == StatusCompleted || s.failed() }

// failed reports whether a request in this state ended badly.
func (s Status) failed() bool {
	switch s {
	case StatusFailed, StatusRejected, StatusDeleted, StatusDeletionFailed:
		return true
	default:
		return false
	}
}

// pastMerge reports whether a request in this state was merged. Pending may be
// before or after the merge; the documentation has no order.
func (s Status) pastMerge() bool {
	switch s {
	case StatusInProgress, StatusVirusScanInProgress, StatusCompleted:
		return true
	default:
		return false
	}
}

// Percent is a percentage as the service sends it, such as "100%".
type Percent string

// Int returns the number, 100 for "100%", or 0 if p is not a percentage.
func (p Percent) Int() int {
	n, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(string(p)), "%")), 64)
	if err != nil || !(n > -1e9 && n < 1e9) {
		return 0
	}
	return int(n)
}
