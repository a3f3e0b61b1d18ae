package cli

import "time"

// Kinds of events, in the order in which they can come.
const (
	Begin   = "begin" // first: where the service is
	Started = "job"   // there is something to follow now, with these ids
	Moved   = "progress"
	Status  = "status" // something changed its state
	Waiting = "waiting"
	Notice  = "notice"
	Result  = "result" // of one job
	Error   = "error"
	End     = "end" // last, with the exit code
)

// IDs names what the service made.
type IDs map[string]any

// Event is one line of -json, the same for all programs.
type Event struct {
	Event     string    `json:"event"`
	Time      time.Time `json:"time"`
	Service   string    `json:"service"`
	Operation string    `json:"operation"`
	// Demo reports whether this is the built-in service.
	Demo bool `json:"demo"`
	// Endpoint is the service's base URL, at the beginning.
	Endpoint string    `json:"endpoint,omitempty"`
	IDs      IDs       `json:"ids,omitempty"`
	State    string    `json:"state,omitempty"`
	Progress *Progress `json:"progress,omitempty"`
	// Checksum is the MD5 of an image, and Seconds how long it took.
	Checksum string  `json:"md5,omitempty"`
	Seconds  float64 `json:"seconds,omitempty"`
	// Message is what the program prints for people.
	Message string `json:"message,omitempty"`
	// Detail is the object of the service's package.
	Detail   any      `json:"detail,omitempty"`
	Error    *Failure `json:"error,omitempty"`
	ExitCode *int     `json:"exitCode,omitempty"`
}

// Progress is how far something is.
type Progress struct {
	Percent int64 `json:"percent"`
	// Bytes of Total are done; a Total of 0 means that no bytes are counted.
	Bytes int64 `json:"bytes,omitempty"`
	Total int64 `json:"total,omitempty"`
	// BytesPerSecond is the rate of this run alone.
	BytesPerSecond float64 `json:"bytesPerSecond,omitempty"`
	// SecondsLeft is how long the rest takes, 0 if that is not known.
	SecondsLeft float64 `json:"secondsLeft,omitempty"`
	Chunks      int     `json:"chunks,omitempty"`
	TotalChunks int     `json:"totalChunks,omitempty"`
}

// BytesProgress returns the progress of done bytes out of total. left is how
// long the rest takes, 0 if that is not known.
func BytesProgress(done, total int64, rate float64, left time.Duration) *Progress {
	return &Progress{Percent: done * 100 / max(total, 1), Bytes: done, Total: total, BytesPerSecond: rate, SecondsLeft: left.Seconds()}
}
