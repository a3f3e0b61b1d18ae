package multiplay_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/multiplay"
)

func TestRefusals(t *testing.T) {
	for _, test := range []struct {
		name          string
		status        int
		body          string
		code, message string
		is            error
	}{
		{"envelope", 200, `{"messages":[],"error_code":7,"error_message":"no","_debug":[],"success":false,"error":true}`, "7", "no", nil},
		{"success false alone", 200, `{"success":false}`, "", "the service refused without a message", nil},
		{"error true alone", 200, `{"error":true,"success":true}`, "", "the service refused without a message", nil},
		{"messages", 200, `{"success":false,"messages":["one","","two"]}`, "", "one; two", nil},
		{"error as text", 200, `{"error":"out of order"}`, "", "out of order", nil},
		{"numbers for booleans", 200, `{"success":0,"error":1,"error_code":"E1","error_message":"no"}`, "E1", "no", nil},
		{"unforeseen forms", 200, `{"success":false,"error_code":{"a":1},"error_message":["no"],"messages":"why"}`, `{"a":1}`, "no", nil},
		{"with a job beside it", 200, `{"success":false,"error":true,"jobstatename":"Failed"}`, "", "the service refused without a message", nil},
		{"message beside a failed job", 200, `{"success":false,"error_message":"no","jobstatename":"Failed"}`, "", "no", nil},
		{"a job that makes no sense", 200, `{"success":false,"error_message":"no","jobprogress":{}}`, "", "no", nil},
		{"messages as text", 200, `{"success":false,"messages":"why"}`, "", "why", nil},
		{"running job without success", 200, `{"success":false,"jobstatename":"Running"}`, "", "the service refused without a message", nil},
		{"error as object", 200, `{"error":{"code":3}}`, "", `{"code":3}`, nil},
		{"message without a boolean", 200, `{"error_message":"no","jobstatename":"Running","updateid":5}`, "", "no", nil},
		{"code without a boolean", 200, `{"error_code":4,"jobstatename":"Running"}`, "4", "the service refused without a message", nil},
		{"success as a word", 200, `{"success":"no","jobstatename":"Running"}`, "", "the service refused without a message", nil},
		{"forbidden in a 200", 200, `{"success":false,"error":true,"error_message":"Forbidden"}`, "", "Forbidden", multiplay.ErrForbidden},
		{"envelope with status", 400, `{"success":false,"error":true,"error_code":1,"error_message":"bad"}`, "1", "bad", multiplay.ErrBadRequest},
		{"text", 401, `Unauthorized here`, "", "Unauthorized here", multiplay.ErrUnauthorized},
		{"html", 403, `<html><body><h1>403 Forbidden</h1></body></html>`, "", "403 Forbidden", multiplay.ErrForbidden},
		{"empty", 404, ``, "", "", multiplay.ErrNotFound},
		{"conflict", 409, `{"error":"busy"}`, "", "busy", multiplay.ErrConflict},
		{"not json", 500, `{{{`, "", "{{{", multiplay.ErrServer},
	} {
		t.Run(test.name, func(t *testing.T) {
			client, mock := mockClient(t, multiplay.WithRetry(1, 0, 0))
			mock.RegisterResponder("GET", base+"/cfp/v1/imageupdate/5/status", httpmock.NewStringResponder(test.status, test.body))
			status, err := client.ImageUpdates.Status(t.Context(), 5)
			require.Nil(t, status)
			failed := requireAs[*multiplay.Error](t, err)
			require.Equal(t, test.status, failed.StatusCode)
			require.Equal(t, test.code, failed.Code)
			require.Equal(t, test.message, failed.Message)
			require.Equal(t, "multiplay.ImageUpdates.Status", failed.Op)
			require.Equal(t, base+"/cfp/v1/imageupdate/5/status?accountserviceid=1337", failed.URL)
			require.False(t, failed.Ambiguous)
			for _, sentinel := range []error{
				multiplay.ErrBadRequest, multiplay.ErrUnauthorized, multiplay.ErrForbidden, multiplay.ErrNotFound,
				multiplay.ErrConflict, multiplay.ErrServer, multiplay.ErrAmbiguous,
			} {
				require.Equal(t, errors.Is(test.is, sentinel), errors.Is(err, sentinel), "%v", sentinel)
			}
		})
	}
}

func TestRefusalAmongFieldsOfAnotherForm(t *testing.T) {
	client, mock := mockClient(t)
	mock.RegisterResponder("GET", base+"/cfp/v1/imageinstall/status", respondWith(`{"error":"gone","installs":7}`))
	_, err := client.ImageInstalls.List(t.Context())
	failed := requireAs[*multiplay.Error](t, err)
	require.Equal(t, "gone", failed.Message)
	require.Equal(t, 1, failed.Attempts)
}

// What makes no sense is a response of no operation: it is requested again where
// that does no harm, and ambiguous elsewhere.
func TestMeaninglessResponses(t *testing.T) {
	for _, body := range []string{
		`{}`, `{"status":"maintenance"}`, `{"message":"busy"}`, `[]`, `{"success":true}`, `{"success":true,"messages":[],"error":false}`,
		`{"updateid":99,"diffid":99,"imageversionid":99,"jobstatename":null,"image":{"imageid":99}}`,
	} {
		for name, do := range reads() {
			client, mock := mockClient(t, multiplay.WithOutageLimit(time.Nanosecond))
			mock.RegisterNoResponder(respondWith(body))
			err := do(t.Context(), client)
			if name == "Images.Options" && strings.Contains(body, "updateid") {
				require.NoError(t, err) // what holds an image
				continue
			}
			attempts := 3
			if strings.Contains(name, "Wait") || strings.Contains(name, "Watch") { // their own loop asks again
				attempts = 1
			}
			require.Equal(t, attempts, requireAs[*multiplay.Error](t, err).Attempts, "%s %s", name, body)
			require.True(t, multiplay.IsTransient(err), "%s %s", name, body)
		}
		for name, do := range changes() {
			client, mock := mockClient(t)
			mock.RegisterNoResponder(respondWith(body))
			err := do(t.Context(), client)
			if strings.HasSuffix(name, ".Create") && strings.Contains(body, "updateid") {
				require.NoError(t, err) // the id of a new job is all it takes
				continue
			}
			require.ErrorIs(t, err, multiplay.ErrAmbiguous, "%s %s", name, body)
			require.NotEmpty(t, requireAs[*multiplay.Error](t, err).Hint)
			require.Equal(t, 1, mock.GetTotalCallCount())
		}
	}
}

// A refusal is a response: the call is not repeated, and nothing about it is
// ambiguous, even for a call that changes something.
func TestRefusalOfAChange(t *testing.T) {
	client, mock := mockClient(t)
	mock.RegisterResponder("GET", base+"/cfp/v1/imageupdate/5/retry", respondWith(`{"success":false,"error":true,"error_message":"no"}`))
	_, err := client.ImageUpdates.Retry(t.Context(), 5)
	require.NotErrorIs(t, err, multiplay.ErrAmbiguous)
	require.Equal(t, 1, requireAs[*multiplay.Error](t, err).Attempts)
	require.Equal(t, 1, mock.GetTotalCallCount())
}

func TestImageLocked(t *testing.T) {
	for status, body := range map[int]string{
		200: fixture(t, "image_locked.json"),
		201: `{"success":false,"error_message":"Image locked by diffid 218595"}`,
		400: `{"error":true,"error_message":"image is locked by diff id: 218595."}`,
		409: `image locked by diffid:218595`,
	} {
		client, mock := mockClient(t)
		mock.RegisterResponder("GET", base+"/cfp/v1/imageupdate/create", httpmock.NewStringResponder(status, body))
		_, err := client.ImageUpdates.Create(t.Context(), &multiplay.CreateImageUpdateRequest{ImageID: 1, MachineID: 2, Description: "x"})
		locked := requireAs[*multiplay.ImageLockedError](t, err)
		require.Equal(t, int64(218595), locked.DiffID)
		failed := requireAs[*multiplay.Error](t, err)
		require.Equal(t, status, failed.StatusCode)
		require.ErrorContains(t, err, "218595")
		require.Equal(t, 1, mock.GetTotalCallCount())
	}
}

// The diff is found in a message that is not shown because it repeats a
// credential.
func TestImageLockedBesideASecret(t *testing.T) {
	source := s3Source()
	key := source.SecretKey.Reveal()
	for status, body := range map[int]string{
		200: `{"success":false,"error_message":"` + key + `: image locked by diffid: 218595"}`,
		400: `{"error":true,"error_message":"image is locked by diff id: 218595.","request":"` + key + `"}`,
		409: `image locked by diffid:218595, refused ` + key,
	} {
		client, mock := mockClient(t)
		mock.RegisterResponder("GET", base+"/cfp/v1/imageupdate/create", httpmock.NewStringResponder(status, body))
		_, err := client.ImageUpdates.Create(t.Context(), &multiplay.CreateImageUpdateRequest{
			ImageID: 1, MachineID: 2, Description: "x", Source: source,
		})
		locked := requireAs[*multiplay.ImageLockedError](t, err)
		require.Equal(t, int64(218595), locked.DiffID)
		require.ErrorContains(t, err, "make a version of diff 218595")
		require.NotContains(t, fmt.Sprintf("%+v %+v", err, locked.Err), key)
	}
}

func TestOtherMessagesAreNoLock(t *testing.T) {
	for _, message := range []string{
		"image locked by updateid: 5", "image locked by diffid:", "image locked by diffid: 99999999999999999999",
	} {
		client, mock := mockClient(t)
		mock.RegisterResponder("GET", base+"/cfp/v1/imagediff/1/retry", respondWith(`{"success":false,"error_message":"`+message+`"}`))
		_, err := client.ImageDiffs.Retry(t.Context(), 1)
		require.Equal(t, message, requireAs[*multiplay.Error](t, err).Message)
		var locked *multiplay.ImageLockedError
		require.NotErrorAs(t, err, &locked)
	}
}

// What cannot be read around a good response does not make it a bad one.
func TestOddEnvelopeOfAGoodResponse(t *testing.T) {
	client, mock := mockClient(t, multiplay.WithRetry(1, 0, 0))
	mock.RegisterResponder("GET", base+"/cfp/v1/imageupdate/5/status", respondWith(
		`{"success":{},"error":[{}],"error_code":[],"error_message":{},"messages":{"a":1},"jobstatename":"Running","updateid":5}`))
	status, err := client.ImageUpdates.Status(t.Context(), 5)
	require.NoError(t, err)
	require.Equal(t, multiplay.JobRunning, status.State)
}

// A failed job is no refusal, whatever the service puts into success.
func TestFailedJobIsNoRefusal(t *testing.T) {
	for _, state := range []multiplay.JobState{multiplay.JobFailed, multiplay.JobSquashed} {
		client, mock := mockClient(t)
		body := `{"success":false,"jobstatename":"` + string(state) + `","joberror":"no such bucket"}`
		for _, path := range []string{"imageupdate", "imagediff", "imageversion"} {
			mock.RegisterResponder("GET", base+"/cfp/v1/"+path+"/5/status", respondWith(body))
		}
		mock.RegisterResponder("GET", base+"/cfp/v1/imageupdate/5/retry", respondWith(body))
		_, err := client.ImageUpdates.Wait(t.Context(), 5)
		require.Equal(t, &multiplay.StateError{Resource: "image update", ID: 5, State: state, Reason: "no such bucket"},
			requireAs[*multiplay.StateError](t, err))
		_, err = client.ImageDiffs.Wait(t.Context(), 5)
		require.Equal(t, "image diff", requireAs[*multiplay.StateError](t, err).Resource)
		_, err = client.ImageVersions.Wait(t.Context(), 5)
		require.Equal(t, "image version", requireAs[*multiplay.StateError](t, err).Resource)

		// A refused retry is one, though the job beside it has failed.
		_, err = client.ImageUpdates.Retry(t.Context(), 5)
		require.Equal(t, 200, requireAs[*multiplay.Error](t, err).StatusCode)
	}
}

// A new job without its id cannot be followed: it may have been made.
func TestCreatedWithoutID(t *testing.T) {
	for _, body := range []string{
		`{"success":true,"jobstatename":"Created"}`, `{"updateid":null,"diffid":null,"imageversionid":null}`,
		`{"updateid":0,"diffid":0,"imageversionid":0}`, `{"updateid":"x","diffid":"x","imageversionid":"x"}`, `[]`, `{`,
	} {
		client, mock := mockClient(t)
		mock.RegisterNoResponder(respondWith(body))
		_, updateErr := client.ImageUpdates.Create(t.Context(), &multiplay.CreateImageUpdateRequest{ImageID: 1, MachineID: 2, Description: "x"})
		_, diffErr := client.ImageDiffs.Create(t.Context(), &multiplay.CreateImageDiffRequest{ImageID: 1, MachineID: 2})
		_, versionErr := client.ImageVersions.Create(t.Context(), &multiplay.CreateImageVersionRequest{DiffID: 1})
		for _, err := range []error{updateErr, diffErr, versionErr} {
			require.ErrorIs(t, err, multiplay.ErrAmbiguous, body)
			require.Equal(t, 1, requireAs[*multiplay.Error](t, err).Attempts)
		}
		require.Equal(t, 3, mock.GetTotalCallCount())
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	client, mock := mockClient(t)
	mock.RegisterResponder("GET", base+"/cfp/v1/imageupdate/5/status",
		httpmock.NewStringResponder(http.StatusMovedPermanently, "").HeaderSet(http.Header{"Location": {"https://elsewhere.example/x?y=z"}}))
	_, err := client.ImageUpdates.Status(t.Context(), 5)
	require.Equal(t, 301, requireAs[*multiplay.Error](t, err).StatusCode)
	require.ErrorContains(t, err, "redirects to https://elsewhere.example/x,")
	require.Equal(t, 1, mock.GetTotalCallCount())
}
