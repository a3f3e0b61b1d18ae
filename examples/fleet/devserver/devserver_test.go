package devserver_test

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/sdk/client"
	"go.uber.org/goleak"

	"github.com/imagejobs/imagejobs-go/examples/fleet/devserver"
	"github.com/imagejobs/imagejobs-go/examples/fleet/workflows"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A server that goes on with the database of one that was killed has what that
// one registered, and takes no other server at its port for itself.
func TestServerGoesOn(t *testing.T) {
	binary, err := devserver.Find()
	if err != nil && os.Getenv("IMAGEJOBS_REQUIRE_TEMPORAL") == "" {
		t.Skip(err)
	}
	require.NoError(t, err)
	options := devserver.Options{Binary: binary, Database: filepath.Join(t.TempDir(), "db"), Log: os.Stderr}
	for range 2 {
		server, err := devserver.Start(t.Context(), options)
		require.NoError(t, err)
		t.Cleanup(server.Kill)
		c, err := client.DialContext(t.Context(), client.Options{HostPort: server.Address})
		require.NoError(t, err)
		list, err := c.OperatorService().ListSearchAttributes(t.Context(), &operatorservice.ListSearchAttributesRequest{Namespace: "default"})
		c.Close()
		require.NoError(t, err)
		require.Contains(t, list.CustomAttributes, workflows.StateAttribute.GetName())
		_, err = fmt.Sscanf(server.Address, "127.0.0.1:%d", &options.Port)
		require.NoError(t, err)
		_, err = devserver.Start(t.Context(), options)
		require.ErrorIs(t, err, syscall.EADDRINUSE)
		server.Kill()
	}
	server, err := devserver.Start(t.Context(), options)
	require.NoError(t, err)
	server.Stop()
}
