package multiplay_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/internal/documents"
	"github.com/imagejobs/imagejobs-go/multiplay"
)

// exampleResponse is the example response of "Image update status" with its
// placeholders filled in; a nil value in changes takes a field away.
func exampleResponse(t *testing.T, changes map[string]any) []byte {
	t.Helper()
	printed := documents.UpdateStatus(map[string]string{
		"jobprogress": "100", "jobstateid": "5", "jobstart": "1700000010", "jobeta": "1700000120", "jobfailed": "0",
		"jobcreated": "1700000000", "updateid": "4711", "jobupdated": "1700000050", "jobstatename": `"Completed"`,
	})
	if changes == nil {
		return []byte(printed)
	}
	response := map[string]any{}
	require.NoError(t, json.Unmarshal([]byte(printed), &response))
	response["joberror"] = json.RawMessage("null")
	maps.Copy(response, changes)
	maps.DeleteFunc(response, func(_ string, v any) bool { return v == nil })
	data, err := json.Marshal(response)
	require.NoError(t, err)
	return data
}

func TestExampleResponseInEveryVariant(t *testing.T) {
	null := json.RawMessage("null")
	full := multiplay.ImageUpdateStatus{UpdateID: 4711, Job: multiplay.Job{
		State: multiplay.JobCompleted, StateID: 5, Progress: 100,
		Created: unix(1700000000), Started: unix(1700000010), Updated: unix(1700000050), ETA: unix(1700000120),
	}}
	with := func(change func(*multiplay.ImageUpdateStatus)) multiplay.ImageUpdateStatus {
		changed := full
		change(&changed)
		return changed
	}
	noStart := with(func(s *multiplay.ImageUpdateStatus) { s.Started = time.Time{} })
	noID := with(func(s *multiplay.ImageUpdateStatus) { s.StateID = 0 })
	for _, test := range []struct {
		name    string
		changes map[string]any
		want    multiplay.ImageUpdateStatus
	}{
		{"as printed", nil, full},
		{"start as string", map[string]any{"jobstart": "1700000010"}, full},
		{"start empty", map[string]any{"jobstart": ""}, noStart},
		{"start null", map[string]any{"jobstart": null}, noStart},
		{"start absent", map[string]any{"jobstart": nil}, noStart},
		{"start zero", map[string]any{"jobstart": 0}, noStart},
		{"all times as strings", map[string]any{
			"jobstart": "1700000010", "jobeta": "1700000120", "jobcreated": "1700000000", "jobupdated": "1700000050",
		}, full},
		{"no times", map[string]any{"jobstart": nil, "jobeta": null, "jobcreated": "", "jobupdated": nil}, multiplay.ImageUpdateStatus{
			UpdateID: 4711, Job: multiplay.Job{State: multiplay.JobCompleted, StateID: 5, Progress: 100},
		}},
		{"created under its other name", map[string]any{"jobcreated": nil, "jobcreate": 1700000000}, full},
		{"no state id", map[string]any{"jobstateid": nil}, noID},
		{"null state id", map[string]any{"jobstateid": null}, noID},
		{"Complete", map[string]any{"jobstateid": nil, "jobstatename": "Complete"}, noID},
		{"Complete with id", map[string]any{"jobstatename": "Complete"}, full},
		{"lower case", map[string]any{"jobstateid": nil, "jobstatename": " completed"}, noID},
		{"state id as string", map[string]any{"jobstateid": "5"}, full},
		{"unknown id, known name", map[string]any{"jobstateid": 8}, with(func(s *multiplay.ImageUpdateStatus) { s.StateID = 8 })},
		{"unknown state", map[string]any{"jobstateid": 8, "jobstatename": "Paused "}, with(func(s *multiplay.ImageUpdateStatus) {
			s.StateID, s.State = 8, "Paused "
		})},
		{"no state name", map[string]any{"jobstatename": nil}, full},
		{"completed after failing", map[string]any{"jobfailed": 2}, with(func(s *multiplay.ImageUpdateStatus) { s.Failures = 2 })},
		{"success absent", map[string]any{"success": nil}, full},
		{"success null", map[string]any{"success": null}, full},
		{"error false", map[string]any{"error": false, "messages": []string{}, "error_code": 0, "error_message": ""}, full},
		{"progress null", map[string]any{"jobprogress": null}, with(func(s *multiplay.ImageUpdateStatus) { s.Progress = 0 })},
		{"error of a past run", map[string]any{"joberror": "again"}, with(func(s *multiplay.ImageUpdateStatus) { s.Error = "again" })},
		{"error as object", map[string]any{"joberror": map[string]any{"a": 1}}, with(func(s *multiplay.ImageUpdateStatus) { s.Error = `{"a":1}` })},
		{"progress as text", map[string]any{"jobprogress": "many"}, with(func(s *multiplay.ImageUpdateStatus) { s.Progress = 0 })},
		{"new fields", map[string]any{"jobcolour": "blue"}, full},
	} {
		t.Run(test.name, func(t *testing.T) {
			client, mock := mockClient(t)
			mock.RegisterResponder("GET", base+"/cfp/v1/imageupdate/4711/status", respondWith(string(exampleResponse(t, test.changes))))
			got, err := client.ImageUpdates.Status(t.Context(), 4711)
			require.NoError(t, err)
			require.Equal(t, &test.want, got)
			require.Equal(t, got, roundTrip(t, got))
		})
	}
}

// Each field of the example response counts. A strange jobstatename does not,
// beside a jobstateid that is known.
func TestEachField(t *testing.T) {
	printed := string(exampleResponse(t, nil))
	variations := documents.Variations(printed)
	require.Len(t, variations, 11)
	variations["jobstatename"] = documents.Variations(string(exampleResponse(t, map[string]any{"jobstateid": nil})))["jobstatename"]
	variations["nothing"] = printed
	seen := map[string]string{}
	for name, text := range variations {
		client, mock := mockClient(t)
		mock.RegisterResponder("GET", base+"/cfp/v1/imageupdate/4711/status", respondWith(text))
		got, err := client.ImageUpdates.Status(t.Context(), 4711)
		decoded := fmt.Sprintf("%+v %v", got, err)
		require.NotContains(t, seen, decoded, "%s is like %s", name, seen[decoded])
		seen[decoded] = name
		require.Equal(t, name == "success" || name == "updateid", err != nil, "%s: %v", name, err)
	}
}

func TestStates(t *testing.T) {
	states := []multiplay.JobState{
		multiplay.JobCreated, multiplay.JobPending, multiplay.JobQueued, multiplay.JobRunning,
		multiplay.JobCompleted, multiplay.JobFailed, multiplay.JobSquashed,
	}
	for i, state := range states {
		for _, body := range []string{
			fmt.Sprintf(`{"jobstateid":%d,"jobstatename":"?"}`, i+1),
			fmt.Sprintf(`{"jobstatename":%q}`, state),
		} {
			got := diffWith(t, body)
			require.Equal(t, state, got.State, body)
			require.Equal(t, i >= 4, got.State.Terminal(), body)
		}
	}
	require.False(t, multiplay.JobState("Paused").Terminal())
}

func TestBrokenResponsesAreErrors(t *testing.T) {
	for _, body := range []string{
		``, `null`, `[]`, `"text"`, `{"updateid":4711`, `<html>login</html>`, `{"jobstateid":{}}`, `{"updateid":4711,"jobprogress":50}`,
		`{"updateid":4712,"jobstatename":"Running"}`,
	} {
		client, mock := mockClient(t)
		mock.RegisterResponder("GET", base+"/cfp/v1/imageupdate/4711/status", respondWith(body))
		status, err := client.ImageUpdates.Status(t.Context(), 4711)
		require.Nil(t, status, body)
		failed := requireAs[*multiplay.Error](t, err)
		require.Equal(t, 3, failed.Attempts, body)
		require.NotErrorIs(t, err, multiplay.ErrAmbiguous)
	}
}
