package cli

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"time"
)

// Outcome is the file of -result.
type Outcome struct {
	Service   string    `json:"service"`
	Operation string    `json:"operation"`
	Demo      bool      `json:"demo"`
	Time      time.Time `json:"time"`
	// IDs names what the service made so far.
	IDs   IDs    `json:"ids"`
	State string `json:"state,omitempty"`
	// ExitCode is missing while the program runs, and if it was killed.
	ExitCode *int     `json:"exitCode,omitempty"`
	Error    *Failure `json:"error,omitempty"`
}

// Keep puts ids, in place of those before, and the state into the file of
// -result.
func (o *Output) Keep(ids IDs, state string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.outcome.IDs, o.outcome.State = ids, state
	return o.save()
}

// saveFirst replaces the result of an earlier run, which could be mistaken for
// that of this one, and finds out whether the file can be written.
func (o *Output) saveFirst() error {
	if o.Check {
		o.resultFile = ""
	}
	if err := o.Keep(IDs{}, ""); err != nil {
		return UsageError("-result %w", err)
	}
	return nil
}

// save writes the result, if there is a file for it. The caller holds mu.
func (o *Output) save() error {
	if o.resultFile == "" {
		return nil
	}
	o.outcome.Service, o.outcome.Operation, o.outcome.Demo = o.command.Service, o.command.Operation, o.Demo
	o.outcome.Time = time.Now().UTC()
	data, err := json.MarshalIndent(o.outcome, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(o.resultFile, append(data, '\n'))
}

// writeFile replaces the file as a whole or not at all.
func writeFile(name string, data []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
