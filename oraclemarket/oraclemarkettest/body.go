package oraclemarkettest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
)

// maxJSON limits what is read of anything that is not a file.
const maxJSON = 64 << 10

// readField reads a form field, or a body that is not a form.
func readField(r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxJSON+1))
	if err != nil {
		return nil, badRequest("the body ended early: %v", err)
	}
	if len(text) > maxJSON {
		return nil, badRequest("a form field or a body is longer than %d bytes", maxJSON)
	}
	return text, nil
}

// readJSON reads the members of a JSON body and reports whether there is a
// body.
func readJSON(r *http.Request, members map[string]any) (bool, error) {
	text, err := readField(r.Body)
	if err != nil || len(bytes.TrimSpace(text)) == 0 {
		return false, err
	}
	if mediaType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); mediaType != "application/json" {
		return false, fail(http.StatusUnsupportedMediaType, "this test server accepts only application/json here")
	}
	if err := decode(text, members); err != nil {
		return false, badRequest("the JSON body cannot be read: %v", err)
	}
	return true, nil
}

// decode reads the members of a JSON object. Unlike encoding/json it matches
// their names exactly, so that a client's misspelling shows. Other members are
// ignored.
func decode(text []byte, members map[string]any) error {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(text, &object); err != nil {
		return err
	}
	for name, into := range members {
		value, ok := object[name]
		if !ok {
			continue
		}
		if err := json.Unmarshal(value, into); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}
