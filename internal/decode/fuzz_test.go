package decode_test

import (
	"encoding/json"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/internal/decode"
)

// FuzzUnmarshal decodes anything: whatever decodes is valid UTF-8, and
// encoding/json writes and reads it again.
func FuzzUnmarshal(f *testing.F) {
	type record struct {
		envelope
		job

		ID      int64                       `json:"id"`
		Count   int                         `json:"count"`
		OK      *bool                       `json:"ok"`
		At      time.Time                   `json:"at"`
		Name    string                      `json:"source_name"`
		Records []*record                   `json:"records"`
		Groups  map[string]map[string]state `json:"groups"`
		Raw     json.RawMessage             `json:"raw,omitempty"`
		Inner   struct {
			Texts []decode.Text `json:"texts"`
		} `json:"inner"`
	}
	for _, value := range []string{
		`7`, `"7"`, `"100%"`, `1.7e9`, `null`, `true`, `"no"`, `""`, `{}`, `[]`, `[1]`, `{"a":null}`, `"2016-07-06T05:04:03Z"`, `"running"`,
		`"Wed, 06 Jul 2016 05:04:03 GMT"`, `"0000-01-01T00:00:00+01:00"`, `9223372036854775807`, `-0`, `1e999`, `"\ud800"`, "\"\xff\"", `"0x1p4"`,
		`{"a":1,"a":[]}`, `[{"id":1},null,[]]`, `{"x":{"y":"Completed"}}`, `[[["a"],"b"],{"c":"d"}]`, `"`, ``,
	} {
		for _, name := range []string{"success", "error", "messages", "id", "jobstatename", "at", "source name", "Records", "groups", "raw", "inner"} {
			f.Add([]byte(`{"` + name + `":` + value + `,"count":1}`))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, d := range []*decode.Decoder{plain, eager} {
			var list []record
			_ = d.Unmarshal(data, &list)
			var got record
			if d.Unmarshal(data, &got) != nil {
				continue
			}
			again, err := json.Marshal(got)
			require.NoError(t, err)
			for _, text := range []string{got.Name, got.job.Error, string(got.State), string(got.envelope.Error), string(got.Messages)} {
				require.True(t, utf8.ValidString(text), "%q", text)
			}
			var back record
			require.NoError(t, json.Unmarshal(again, &back))
			same, err := json.Marshal(back)
			require.NoError(t, err)
			require.Equal(t, string(again), string(same))
		}
	})
}
