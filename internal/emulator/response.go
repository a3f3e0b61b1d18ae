package emulator

import (
	"bytes"
	"encoding/json"
	"net/http"
)

// response collects what a handler writes, so that a fault can still change it.
type response struct {
	header      http.Header
	status      int
	wroteStatus bool
	unprocessed bool
	body        bytes.Buffer
}

func newResponse() *response {
	return &response{header: http.Header{}, status: http.StatusOK}
}

func (a *response) Header() http.Header { return a.header }

func (a *response) WriteHeader(status int) {
	if !a.wroteStatus {
		a.status, a.wroteStatus = status, true
	}
}

func (a *response) Write(p []byte) (int, error) {
	a.wroteStatus = true
	return a.body.Write(p)
}

// change replaces what the handler wrote by what the fault sets.
func (a *response) change(f *Fault) {
	if f.Body != "" {
		a.body.Reset()
		a.body.WriteString(f.Body)
		a.header.Del("Content-Type")
	}
	if f.ContentType != "" {
		a.header.Set("Content-Type", f.ContentType)
	}
	if f.RetryAfter != "" {
		a.header.Set("Retry-After", f.RetryAfter)
	}
	for name, values := range f.Header {
		a.header[http.CanonicalHeaderKey(name)] = values
	}
	if f.CutJSON {
		a.body.Truncate(a.body.Len() / 2)
	}
}

// bodyAllowed reports whether the status permits a body.
func (a *response) bodyAllowed() bool {
	return a.status != http.StatusNoContent && a.status != http.StatusNotModified
}

// MarkProcessed records in the log whether a request took effect, where the
// status of its response does not show it. A handler calls it with its own
// ResponseWriter.
func MarkProcessed(w http.ResponseWriter, processed bool) {
	if a, ok := w.(*response); ok {
		a.unprocessed = !processed
	}
}

// WriteJSON writes v as a JSON response. A Content-Type that the handler has
// set is kept.
func WriteJSON(w http.ResponseWriter, status int, v any) {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "application/json")
	}
	w.WriteHeader(status)
	_, _ = w.Write(bytes.TrimSuffix(body.Bytes(), []byte("\n")))
}
