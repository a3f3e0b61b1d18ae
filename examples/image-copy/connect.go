package main

import (
	"cmp"
	"context"
	"errors"
	"os"

	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/imagereplicator/imagereplicatortest"
	"github.com/imagejobs/imagejobs-go/imagereplicator/keystone"
)

const (
	endpointVariable = "IMAGE_REPLICATOR_ENDPOINT"
	tokenVariable    = "IMAGE_REPLICATOR_TOKEN"
)

const help = `
Environment:
  OS_AUTH_URL, OS_USERNAME, OS_PASSWORD, OS_PROJECT_ID, OS_REGION_NAME and the
                             other variables of an openrc file: where and how to
                             log in
  OS_CLOUD                   a cloud of clouds.yaml in place of them
  IMAGE_REPLICATOR_ENDPOINT  base URL of the service, together with
  IMAGE_REPLICATOR_TOKEN     a token for it, in place of a login
`

// variables returns the variables that name the real service.
func variables() []string {
	return []string{
		endpointVariable, tokenVariable, "OS_CLOUD", "OS_AUTH_URL", "OS_USERNAME", "OS_USER_ID", "OS_USERID",
		"OS_PASSWORD", "OS_TOKEN", "OS_APPLICATION_CREDENTIAL_ID", "OS_APPLICATION_CREDENTIAL_NAME",
		"OS_APPLICATION_CREDENTIAL_SECRET", "OS_IMAGE_ENDPOINT_OVERRIDE",
	}
}

// open returns a client of the service that the environment names, or of the
// built-in service, which runs until stop is called.
func open(ctx context.Context, out *cli.Output) (_ *imagereplicator.Client, stop func(), err error) {
	if out.Demo {
		server := imagereplicatortest.NewServer() //nolint:contextcheck // it runs until Close
		out.Begin(server.URL)
		return server.Client(), server.Close, nil
	}
	const application = "imagejobs-example/1"
	endpoint, token := os.Getenv(endpointVariable), os.Getenv(tokenVariable)
	if endpoint != "" || token != "" {
		if endpoint == "" || token == "" {
			return nil, nil, cli.UsageError("%s and %s must be set together", endpointVariable, tokenVariable)
		}
		out.Begin(endpoint)
		client, err := imagereplicator.New(endpoint, imagereplicator.StaticToken(token), imagereplicator.WithUserAgent(application))
		return client, func() {}, err
	}
	options, err := keystone.FromEnv()
	if err != nil {
		return nil, nil, err
	}
	options.UserAgent = application
	session, err := keystone.New(ctx, options)
	if err != nil {
		return nil, nil, err
	}
	if endpoint, err = session.Endpoint(); err != nil {
		return nil, nil, err
	}
	out.Begin(endpoint)
	client, err := session.Client()
	return client, func() {}, err
}

// fields has the variables of the arguments that open takes from them.
var fields = map[string]string{
	"New: endpoint":              "FromEnv: " + endpointVariable,
	"keystone.Options.AuthURL":   "FromEnv: OS_AUTH_URL",
	"keystone.Options.TenantID":  "FromEnv: OS_PROJECT_ID",
	"keystone.Options.Region":    "FromEnv: OS_REGION_NAME",
	"keystone.Options.Interface": "FromEnv: OS_INTERFACE",
	"keystone.Options.Endpoint":  "FromEnv: OS_IMAGE_ENDPOINT_OVERRIDE",
}

// classify fills in what went wrong.
func classify(err error, f *cli.Failure) {
	if wrong, ok := errors.AsType[*imagereplicator.ArgumentError](err); ok {
		f.Field, f.Problem = cmp.Or(fields[wrong.Field], wrong.Field), wrong.Problem
	}
	if call, ok := errors.AsType[*imagereplicator.Error](err); ok {
		f.StatusCode, f.RequestID = call.StatusCode, call.RequestID
	}
	if _, ok := errors.AsType[*imagereplicator.StateError](err); ok {
		f.Code = cli.Ended
	}
	if errors.Is(err, imagereplicator.ErrAmbiguous) {
		f.Code = cli.Ambiguous
	}
}
