package imagereplicator_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
)

func TestErrorForms(t *testing.T) {
	for _, test := range []struct {
		fixture string
		status  int
		is      error
		code    string
		message string
	}{
		{"error_401.txt", 401, imagereplicator.ErrUnauthorized, "", "401 Unauthorized Authentication required."},
		{"error_401_middleware.txt", 401, imagereplicator.ErrUnauthorized, "", "Authentication required"},
		{"error_401_keystone.json", 401, imagereplicator.ErrUnauthorized, "401", "The request you have made requires authentication."},
		{"error_404_webob.txt", 404, imagereplicator.ErrNotFound, "", "404 Not Found No image found with ID 335eef3f"},
		{"error_404_webob.html", 404, imagereplicator.ErrNotFound, "", "404 Not Found No image found with ID 335eef3f"},
		{"error_404_webob.json", 404, imagereplicator.ErrNotFound, "404 Not Found", "No image found with ID 335eef3f"},
		{"error_400_nova.json", 400, imagereplicator.ErrBadRequest, "400", "Invalid image_id"},
		{"error_403_iam.json", 403, imagereplicator.ErrForbidden, "", "The API is not permitted for this user"},
		{"error_409_webob.json", 409, imagereplicator.ErrConflict, "409 Conflict", "Image is not active"},
		{"error_429_gateway.json", 429, imagereplicator.ErrTooManyRequests, "policies.ratelimit.QuotaViolation", "Rate limit quota violation. Quota limit exceeded."},
		{"error_500_message.json", 500, imagereplicator.ErrServer, "", "system error"},
	} {
		t.Run(test.fixture, func(t *testing.T) {
			client, mock := mocked(t)
			mock.RegisterResponder(http.MethodGet, jobURL, respond(t, test.status, test.fixture).
				HeaderAdd(http.Header{"Ecl-Transaction-Id": {"tx-1"}}))
			_, err := client.Jobs.Get(t.Context(), jobID)
			require.ErrorIs(t, err, test.is)
			failure := new(imagereplicator.Error)
			require.ErrorAs(t, err, &failure)
			require.Equal(t, "imagereplicator.Jobs.Get", failure.Op)
			require.Equal(t, jobURL, failure.URL)
			require.Equal(t, test.status, failure.StatusCode)
			require.Equal(t, test.code, failure.Code)
			require.Equal(t, test.message, failure.Message)
			require.Equal(t, fixture(t, test.fixture), failure.Body)
			require.Equal(t, "tx-1", failure.RequestID)
			require.ErrorContains(t, err, test.message)
		})
	}
}

func TestCreateErrors(t *testing.T) {
	req := &imagereplicator.CreateJobRequest{ImageID: "i", DestinationTenantID: "t"}
	for _, test := range []struct {
		fixture string
		status  int
		hint    string
	}{
		{"error_401.txt", 401, "check the token and the destination tenant"},
		{"error_404_webob.json", 404, "check that the image and the destination tenant exist"},
		{"error_409_webob.json", 409, "the image storage of the destination region is down"},
		{"error_400_nova.json", 400, ""},
		{"error_500_message.json", 500, "search Jobs.List for its source image"},
	} {
		synctest.Test(t, func(t *testing.T) { // for the look-ups
			client, mock := mocked(t)
			noJobs(mock)
			mock.RegisterResponder(http.MethodPost, jobsURL, respond(t, test.status, test.fixture))
			_, err := client.Jobs.Create(t.Context(), req)
			failure := new(imagereplicator.Error)
			require.ErrorAs(t, err, &failure)
			require.Contains(t, failure.Hint, test.hint)
			require.Equal(t, test.status >= 500, failure.Ambiguous)
			require.Equal(t, 1, failure.Attempts)
		})
	}
}

// A 401 on Create may be about the destination tenant, so it gets one attempt
// with a new token and no more.
func TestCreateRefusedRenewsOnce(t *testing.T) {
	asked := 0
	tokens := imagereplicator.TokenSourceFunc(func(context.Context) (imagereplicator.Token, error) {
		asked++
		return imagereplicator.NewToken(strings.Repeat("t", 10+asked), time.Time{}), nil
	})
	client, mock := mockedWith(t, tokens)
	noJobs(mock)
	mock.RegisterResponder(http.MethodPost, jobsURL, respond(t, http.StatusUnauthorized, "error_401.txt"))
	_, err := client.Jobs.Create(t.Context(), &imagereplicator.CreateJobRequest{ImageID: "i", DestinationTenantID: "t"})
	require.ErrorIs(t, err, imagereplicator.ErrUnauthorized)
	require.NotErrorIs(t, err, imagereplicator.ErrAmbiguous)
	require.Equal(t, 2, asked)
	require.Equal(t, 2, mock.GetCallCountInfo()[http.MethodPost+" "+jobsURL])

	mock.RegisterResponder(http.MethodPost, jobsURL,
		respond(t, http.StatusUnauthorized, "error_401.txt").Then(respond(t, http.StatusAccepted, "create.json")))
	id, err := client.Jobs.Create(t.Context(), &imagereplicator.CreateJobRequest{ImageID: "i", DestinationTenantID: "t"})
	require.NoError(t, err)
	require.Equal(t, jobID, id)
	require.Equal(t, 3, asked)
}

func TestStateErrorText(t *testing.T) {
	err := &imagereplicator.StateError{JobID: "j", Status: "error"}
	require.EqualError(t, err, `imagereplicator: job j ended with status "error"`)
}

func FuzzErrorBody(f *testing.F) {
	for _, name := range []string{
		"error_401.txt", "error_401_keystone.json", "error_404_webob.html", "error_404_webob.json",
		"error_400_nova.json", "error_429_gateway.json", "error_403_iam.json",
	} {
		f.Add(404, "application/json", fixture(f, name))
	}
	f.Add(500, "text/html", "<html><title>"+token)
	f.Add(401, "", `{"error": "`+token+`"}`)
	f.Fuzz(func(t *testing.T, status int, contentType, body string) {
		if status < 200 || status > 599 {
			return
		}
		client, mock := mocked(t, imagereplicator.WithRetry(1, 0, 0))
		mock.RegisterNoResponder(httpmock.NewStringResponder(status, body).HeaderSet(http.Header{"Content-Type": {contentType}}))
		_, err := client.Jobs.Get(t.Context(), jobID)
		if err == nil {
			require.Less(t, status, 300)
			return
		}
		failure := new(imagereplicator.Error)
		require.ErrorAs(t, err, &failure)
		require.Equal(t, status, failure.StatusCode)
		require.NotContains(t, err.Error(), token)
		require.NotContains(t, failure.Body, token)
		require.LessOrEqual(t, len(failure.Body), 8<<10+64)
	})
}
