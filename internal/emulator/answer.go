package emulator

import (
	"bytes"
	"encoding/json"
	"net/http"
)

// answer is a handler's answer, collected so that a fault can still spoil it.
type answer struct {
	header      http.Header
	status      int
	wroteStatus bool
	unprocessed bool
	body        bytes.Buffer
}

func newAnswer() *answer {
	return &answer{header: http.Header{}, status: http.StatusOK}
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	if !a.wroteStatus {
		a.status, a.wroteStatus = status, true
	}
}

func (a *answer) Write(p []byte) (int, error) {
	a.wroteStatus = true
	return a.body.Write(p)
}

// WriteJSON answers with v as JSON. A Content-Type that the handler has set stays.
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
