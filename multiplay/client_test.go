package multiplay_test

import (
	"context"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/multiplay"
)

func TestNewChecksItsArguments(t *testing.T) {
	for want, create := range map[string]func() (*multiplay.Client, error){
		"AccessKey: accountServiceID: must be positive": func() (*multiplay.Client, error) { return multiplay.New(multiplay.AccessKey(0, "a", "b")) },
		"AccessKey: accessKey: must not be empty":       func() (*multiplay.Client, error) { return multiplay.New(multiplay.AccessKey(1, "", "b")) },
		"AccessKey: accessKey: must not contain a colon, which ends it in Basic authentication": func() (*multiplay.Client, error) {
			return multiplay.New(multiplay.AccessKey(1, "a:b", secretKey))
		},
		"AccessKey: secretKey: must not be empty": func() (*multiplay.Client, error) { return multiplay.New(multiplay.AccessKey(1, "a", "")) },
		"WithBaseURL: must be https, because plain http would send the credentials unencrypted": func() (*multiplay.Client, error) {
			return multiplay.New(keys(), multiplay.WithBaseURL("http://api.example"))
		},
		"WithRetry: maxAttempts must be at least 1, not 0": func() (*multiplay.Client, error) {
			return multiplay.New(keys(), multiplay.WithRetry(0, 0, 0))
		},
		"WithOutageLimit: must not be negative": func() (*multiplay.Client, error) {
			return multiplay.New(keys(), multiplay.WithOutageLimit(-1))
		},
		"WithAttemptTimeout: must not be negative": func() (*multiplay.Client, error) {
			return multiplay.New(keys(), nil, multiplay.WithAttemptTimeout(-1))
		},
		"WithUserAgent: must not contain control characters": func() (*multiplay.Client, error) {
			return multiplay.New(keys(), multiplay.WithUserAgent("a\nb"))
		},
	} {
		client, err := create()
		require.Nil(t, client)
		show(err)
		require.ErrorIs(t, err, multiplay.ErrInvalidArgument)
		require.ErrorContains(t, err, "multiplay: "+want)
	}
}

func TestOptions(t *testing.T) {
	client, mock := mockClient(t,
		multiplay.WithBaseURL("http://api.example/below/"), multiplay.WithInsecureHTTP(), multiplay.WithUserAgent("farm/1"))
	mock.RegisterResponder("GET", "http://api.example/below/cfp/v1/imageinstall/status", func(r *http.Request) (*http.Response, error) {
		require.True(t, strings.HasPrefix(r.Header.Get("User-Agent"), "farm/1 imagejobs-go/"))
		return respondWith(`{"installs":[]}`)(r)
	})
	_, err := client.ImageInstalls.List(t.Context())
	require.NoError(t, err)
	show(client)
	show(*client)
	show(*client.ImageUpdates)
}

// Every method refuses ids and requests that cannot be.
func TestBadArgumentsSendNothing(t *testing.T) {
	client, mock := mockClient(t)
	ctx := t.Context()
	source := multiplay.S3Source{AccessKey: s3Key(), SecretKey: s3SecretKey()}
	for want, call := range map[string]func() error{
		"CreateImageUpdateRequest: must not be nil": func() error { _, err := client.ImageUpdates.Create(ctx, nil); return err },
		"CreateImageUpdateRequest.ImageID: must be positive": func() error {
			_, err := client.ImageUpdates.Create(ctx, &multiplay.CreateImageUpdateRequest{MachineID: 1, Description: "x"})
			return err
		},
		"CreateImageUpdateRequest.MachineID: must be positive": func() error {
			_, err := client.ImageUpdates.Create(ctx, &multiplay.CreateImageUpdateRequest{ImageID: 1, MachineID: -1, Description: "x"})
			return err
		},
		"CreateImageUpdateRequest.Description: must not be empty": func() error {
			_, err := client.ImageUpdates.Create(ctx, &multiplay.CreateImageUpdateRequest{ImageID: 1, MachineID: 1})
			return err
		},
		"S3Source.Bucket: must not be empty": func() error {
			_, err := client.ImageUpdates.Create(ctx, &multiplay.CreateImageUpdateRequest{ImageID: 1, MachineID: 1, Description: "x", Source: source})
			return err
		},
		"Source: must not be a nil pointer": func() error {
			_, err := client.ImageUpdates.Create(ctx, &multiplay.CreateImageUpdateRequest{
				ImageID: 1, MachineID: 1, Description: "x", Source: (*multiplay.S3Source)(nil),
			})
			return err
		},
		"ImageUpdates.Status: updateID: must be positive": func() error { _, err := client.ImageUpdates.Status(ctx, 0); return err },
		"ImageUpdates.Retry: updateID: must be positive":  func() error { _, err := client.ImageUpdates.Retry(ctx, -1); return err },
		"CreateImageDiffRequest: must not be nil":         func() error { _, err := client.ImageDiffs.Create(ctx, nil); return err },
		"ImageDiffs.Status: diffID: must be positive":     func() error { _, err := client.ImageDiffs.Status(ctx, 0, nil); return err },
		"ImageDiffs.Retry: diffID: must be positive":      func() error { _, err := client.ImageDiffs.Retry(ctx, 0); return err },
		"ImageDiffs.Reject: diffID: must be positive":     func() error { _, err := client.ImageDiffs.Reject(ctx, 0, nil); return err },
		"CreateImageVersionRequest: must not be nil":      func() error { _, err := client.ImageVersions.Create(ctx, nil); return err },
		"QueueImageInstallRequest: must not be nil":       func() error { _, err := client.ImageInstalls.Queue(ctx, nil); return err },
		"Images.SetActive: imageID: must be positive":     func() error { _, err := client.Images.SetActive(ctx, 0, true); return err },
		"Images.RolloutStatus: imageID: must be positive": func() error { _, err := client.Images.RolloutStatus(ctx, 0, nil); return err },
		"Images.WatchRollout: imageID: must be positive":  func() error { _, err := client.Images.WaitRollout(ctx, 0, 1); return err },
		"QueueImageInstallRequest.JobID: must be positive": func() error {
			_, err := client.ImageInstalls.Queue(ctx, &multiplay.QueueImageInstallRequest{})
			return err
		},
		"CreateImageDiffRequest.DiffID: must not be negative": func() error {
			_, err := client.ImageDiffs.Create(ctx, &multiplay.CreateImageDiffRequest{ImageID: 1, MachineID: 1, DiffID: -1})
			return err
		},
		"ImageVersions.Status: imageVersionID: must be positive": func() error { _, err := client.ImageVersions.Status(ctx, 0); return err },
		"Images.WatchRollout: imageVersionID: must be positive":  func() error { _, err := client.Images.WaitRollout(ctx, 1, 0); return err },
	} {
		err := call()
		field, problem, _ := strings.Cut(want, ": must ")
		require.Equal(t, &multiplay.ArgumentError{Field: field, Problem: "must " + problem}, requireAs[*multiplay.ArgumentError](t, err))
		require.ErrorIs(t, err, multiplay.ErrInvalidArgument, want)
		require.EqualError(t, err, "multiplay: "+want)
	}
	for _, err := range []error{
		func() error { _, err := client.ImageUpdates.Wait(ctx, 0); return err }(),
		func() error { _, err := client.ImageDiffs.Wait(ctx, 0); return err }(),
		func() error { _, err := client.ImageVersions.Wait(ctx, 0); return err }(),
		func() error { _, err := client.ImageUpdates.Wait(ctx, 1, multiplay.WithPollInterval(2, 1)); return err }(),
		func() error {
			_, err := client.Images.WaitRollout(ctx, 1, 1, multiplay.WithPollInterval(-1, 1))
			return err
		}(),
	} {
		require.ErrorIs(t, err, multiplay.ErrInvalidArgument)
	}
	require.Zero(t, mock.GetTotalCallCount())
}

func TestEndedContextSendsNothing(t *testing.T) {
	client, mock := mockClient(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := client.ImageUpdates.Retry(ctx, 1)
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, multiplay.ErrAmbiguous)
	require.Zero(t, mock.GetTotalCallCount())
}

// methods are the methods of all services, as "ImageUpdates.Create".
func methods(client *multiplay.Client) []string {
	var all []string
	services := reflect.ValueOf(*client)
	for i := range services.NumField() {
		service := services.Type().Field(i).Name
		for m := range services.Field(i).Type().Methods() {
			all = append(all, service+"."+m.Name)
		}
	}
	return all
}
