package devserver_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/sdk/client"
	"go.uber.org/goleak"

	"github.com/imagejobs/imagejobs-go/examples/fleet/devserver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A server that goes on with the database of one that was killed has what that
// one registered.
func TestServerGoesOn(t *testing.T) {
	binary, err := devserver.Find(t.Context())
	if err != nil && os.Getenv("IMAGEJOBS_REQUIRE_TEMPORAL") == "" {
		t.Skip(err)
	}
	require.NoError(t, err)
	options := devserver.Options{
		Binary: binary, Database: filepath.Join(t.TempDir(), "db"), SearchAttributes: map[string]string{"Step": "Keyword"}, Log: os.Stderr,
	}
	for range 2 {
		server, err := devserver.Start(t.Context(), options)
		require.NoError(t, err)
		t.Cleanup(server.Kill)
		registered(t, server.Address, "Step")
		server.Kill()
	}
	server, err := devserver.Start(t.Context(), options)
	require.NoError(t, err)
	server.Stop()
}

func registered(t *testing.T, address, name string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c, err := client.DialContext(ctx, client.Options{HostPort: address})
	require.NoError(t, err)
	defer c.Close()
	list, err := c.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: "default"})
	require.NoError(t, err)
	require.Contains(t, list.CustomAttributes, name)
}
