package worker

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/imagejobs/imagejobs-go/examples/fleet/activities"
	"github.com/imagejobs/imagejobs-go/examples/fleet/devserver"
	"github.com/imagejobs/imagejobs-go/examples/fleet/workflows"
	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/imagereplicator/imagereplicatortest"
	"github.com/imagejobs/imagejobs-go/multiplay"
	"github.com/imagejobs/imagejobs-go/multiplay/multiplaytest"
	"github.com/imagejobs/imagejobs-go/oraclemarket"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func quiet() log.Logger { return log.NewStructuredLogger(slog.New(slog.DiscardHandler)) }

// Workflows that run when the code changes go on with the new code: each history
// that one has had must lead it to the same commands.
func TestHistoriesReplay(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "*.json"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			replayer := worker.NewWorkflowReplayer()
			replayer.RegisterWorkflow(workflows.UploadImage)
			replayer.RegisterWorkflow(workflows.CopyImage)
			replayer.RegisterWorkflow(workflows.ReleaseImage)
			replayer.RegisterWorkflow(workflows.PublishFleet)
			require.NoError(t, replayer.ReplayWorkflowHistoryFromJSONFile(quiet(), file))
		})
	}
}

// temporalServer starts a server, or skips the test if there is none.
func temporalServer(t *testing.T) client.Options {
	t.Helper()
	binary, err := devserver.Find()
	if errors.Is(err, devserver.ErrMissing) && os.Getenv("IMAGEJOBS_REQUIRE_TEMPORAL") == "" {
		t.Skip(err)
	}
	require.NoError(t, err)
	server, err := devserver.Start(t.Context(), binary, filepath.Join(t.TempDir(), "temporal.db"), 0, 0)
	require.NoError(t, err)
	t.Cleanup(server.Stop)
	t.Setenv("TEMPORAL_ADDRESS", server.Address)
	options, err := ClientOptions()
	require.NoError(t, err)
	options.Logger, options.Identity = quiet(), "worker"
	return options
}

func dial(t *testing.T, options client.Options) client.Client {
	t.Helper()
	c, err := client.DialContext(t.Context(), options)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// services returns activities on test servers.
func services(t *testing.T) *activities.Activities {
	t.Helper()
	oracle := oraclemarkettest.NewServer(oraclemarkettest.WithJobTime(0))
	t.Cleanup(oracle.Close)
	replicator := imagereplicatortest.NewServer(imagereplicatortest.WithJobTime(0))
	t.Cleanup(replicator.Close)
	clanforge := multiplaytest.NewServer(multiplaytest.WithJobTime(0))
	t.Cleanup(clanforge.Close)
	a := &activities.Activities{SourceDir: t.TempDir()}
	require.NoError(t, os.WriteFile(filepath.Join(a.SourceDir, "image.tar.gz"), make([]byte, 9500), 0o600))
	uploads, copies, releases := oracle.Client(), replicator.Client(), clanforge.Client()
	a.Oracle = func(context.Context) (*oraclemarket.Client, error) { return uploads, nil }
	a.Replicator = func(context.Context) (*imagereplicator.Client, error) { return copies, nil }
	a.Multiplay = func(context.Context) (*multiplay.Client, error) { return releases, nil }
	return a
}

func upload() workflows.UploadImageInput {
	return workflows.UploadImageInput{
		Application: "Game", Version: "1.0", OperatingSystem: "Linux", Source: "image.tar.gz", ChunkSize: 1000,
	}
}

// run runs a workflow to its end.
func run(t *testing.T, c client.Client, id string, workflow, input any) (client.WorkflowRun, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	run, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: id, TaskQueue: workflows.ControlQueue}, workflow, input)
	require.NoError(t, err)
	return run, run.Get(ctx, nil)
}

// TestRecordHistories writes the histories that TestHistoriesReplay replays.
// Record them again when there are new branches, and keep the old ones while
// workflows run that were started with the old code:
//
//	IMAGEJOBS_FLEET_RECORD=1 go test ./worker -run TestRecordHistories
func TestRecordHistories(t *testing.T) {
	if os.Getenv("IMAGEJOBS_FLEET_RECORD") == "" {
		t.Skip("IMAGEJOBS_FLEET_RECORD is not set")
	}
	t.Setenv("MULTIPLAY_SOURCE_URL", "steam://anonymous:@install/740/")
	c := dial(t, temporalServer(t))
	w := New(c, services(t), Options{})
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)

	parts, missing := upload(), upload()
	parts.Version, parts.Parts = "2.0", 3
	missing.Version, missing.Source = "3.0", "missing.tar.gz"
	copies := workflows.CopyImageInput{
		ImageID: imagereplicatortest.ImageID, TenantIDs: []string{imagereplicatortest.DestinationTenantID, imagereplicatortest.ThirdTenantID},
	}
	release := workflows.ReleaseImageInput{
		ImageID: multiplaytest.ImageID, MachineID: multiplaytest.MachineID, Description: "build 42", ApprovalTimeout: time.Second,
	}
	approved := release
	approved.Approve = true
	fleet := workflows.PublishFleetInput{Name: "nightly", Images: []workflows.FleetImage{{Upload: new(upload())}, {Copy: &copies}, {Upload: &missing}}}
	for name, one := range map[string]struct {
		id              string
		workflow, input any
		failure         string
	}{
		"upload":       {workflows.UploadID(upload()), workflows.UploadImage, upload(), ""},
		"upload-parts": {workflows.UploadID(parts), workflows.UploadImage, parts, ""},
		"upload-fails": {workflows.UploadID(missing), workflows.UploadImage, missing, workflows.ErrorArgument},
		"copy":         {workflows.CopyID(copies), workflows.CopyImage, copies, ""},
		"release":      {workflows.ReleaseID(approved), workflows.ReleaseImage, approved, ""},
		"release-late": {"late", workflows.ReleaseImage, release, workflows.ErrorNotApproved},
		"fleet":        {workflows.FleetID(fleet), workflows.PublishFleet, fleet, workflows.ErrorFleet},
	} {
		run, err := run(t, c, one.id, one.workflow, one.input)
		if one.failure == "" {
			require.NoError(t, err, name)
		} else {
			failed, ok := errors.AsType[*temporal.ApplicationError](err)
			require.True(t, ok, "%s: %v", name, err)
			require.Equal(t, one.failure, failed.Type(), name)
		}
		record(t, c, run, name)
	}
}

func record(t *testing.T, c client.Client, run client.WorkflowRun, name string) {
	t.Helper()
	all := &history.History{}
	for events := c.GetWorkflowHistory(t.Context(), run.GetID(), run.GetRunID(), false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); events.HasNext(); {
		event, err := events.Next()
		require.NoError(t, err)
		all.Events = append(all.Events, event)
	}
	t.Logf("%s: %d events", name, len(all.Events))
	data, err := protojson.Marshal(all)
	require.NoError(t, err)
	host, err := os.Hostname() // it is in the names of queues
	require.NoError(t, err)
	data = bytes.ReplaceAll(data, []byte(host+":"), []byte("worker:"))
	require.NoError(t, os.WriteFile(filepath.Join("testdata", name+".json"), data, 0o600))
}

// With a key, nobody else reads inputs, results, heartbeats and errors.
func TestPayloadsAreEncrypted(t *testing.T) {
	t.Setenv(keyVariable, strings.Repeat("ab", keySize))
	options := temporalServer(t)
	c := dial(t, options)
	a := services(t)
	a.DataConverter = options.DataConverter
	w := New(c, a, Options{})
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
	in := upload()
	in.Application = "Secret Game"
	first, err := run(t, c, "upload", workflows.UploadImage, in)
	require.NoError(t, err)
	in.Source = "missing secret"
	second, err := run(t, c, "missing", workflows.UploadImage, in)
	require.ErrorContains(t, err, "missing secret")
	requireNotInHistory(t, c, first, "secret")
	requireNotInHistory(t, c, second, "secret")
}

func requireNotInHistory(t *testing.T, c client.Client, run client.WorkflowRun, secrets ...string) {
	t.Helper()
	for events := c.GetWorkflowHistory(t.Context(), run.GetID(), run.GetRunID(), false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); events.HasNext(); {
		event, err := events.Next()
		require.NoError(t, err)
		text, err := protojson.Marshal(event)
		require.NoError(t, err)
		for _, data := range regexp.MustCompile(`"data": ?"([^"]*)"`).FindAllSubmatch(text, -1) {
			plain, err := base64.StdEncoding.DecodeString(string(data[1]))
			require.NoError(t, err)
			text = append(text, plain...)
		}
		for _, secret := range secrets {
			require.NotContains(t, strings.ToLower(string(text)), secret)
		}
	}
}

// Credentials are in the worker's environment and nowhere else, also if a
// service refuses them.
func TestNoCredentialsInHistories(t *testing.T) {
	const key, secret = "0123456789abcdef", "fedcba9876543210"
	t.Setenv("MULTIPLAY_SOURCE_URL", "s3://"+key+":"+secret+"@bucket/folder/")
	c := dial(t, temporalServer(t))
	a := services(t)
	service := oraclemarkettest.NewServer(oraclemarkettest.WithClientCredentials(key, "another"))
	t.Cleanup(service.Close)
	a.Oracle = func(context.Context) (*oraclemarket.Client, error) {
		return oraclemarket.New("user@example.com", oraclemarket.ClientCredentials(key, secret), oraclemarket.WithBaseURL(service.URL))
	}
	w := New(c, a, Options{})
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
	refused, err := run(t, c, "upload", workflows.UploadImage, upload())
	require.Error(t, err)
	requireNotInHistory(t, c, refused, key, secret)
	released, err := run(t, c, "release", workflows.ReleaseImage, workflows.ReleaseImageInput{
		ImageID: multiplaytest.ImageID, MachineID: multiplaytest.MachineID, Description: "build 42", Approve: true,
	})
	require.NoError(t, err)
	requireNotInHistory(t, c, released, key, secret)
}

// A workflow that is canceled between two attempts of its upload deletes what
// the attempts before have sent.
func TestCanceledBetweenAttempts(t *testing.T) {
	c := dial(t, temporalServer(t))
	a := services(t)
	service := oraclemarkettest.NewServer()
	t.Cleanup(service.Close)
	service.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpUploadChunk, Skip: 3, Times: -1, Status: 503})
	uploads := service.Client(oraclemarket.WithOutageLimit(time.Millisecond))
	a.Oracle = func(context.Context) (*oraclemarket.Client, error) { return uploads, nil }
	w := New(c, a, Options{})
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	run, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: "upload", TaskQueue: workflows.ControlQueue}, workflows.UploadImage, upload())
	require.NoError(t, err)
	for attempts := int32(0); attempts < 3; { // then the server waits for seconds
		now, err := c.DescribeWorkflowExecution(ctx, run.GetID(), "")
		require.NoError(t, err)
		for _, p := range now.GetPendingActivities() {
			attempts = p.GetAttempt()
		}
	}
	require.NoError(t, c.CancelWorkflow(ctx, run.GetID(), ""))
	canceled, ok := errors.AsType[*temporal.CanceledError](run.Get(ctx, nil))
	require.True(t, ok)
	var status workflows.Status
	require.NoError(t, canceled.Details(&status))
	require.Empty(t, status.Left)
	require.Len(t, service.Uploads(), 1)
	require.Equal(t, service.Uploads()[0].ID, status.UploadRequestID)
	require.Equal(t, oraclemarkettest.Deleted, service.Uploads()[0].Status)
}

// After a reset that forgets the heartbeats nobody knows which chunks the upload
// request has: a person adopts it, and all are sent again.
func TestResetActivity(t *testing.T) {
	c := dial(t, temporalServer(t))
	a := services(t)
	service := oraclemarkettest.NewServer(oraclemarkettest.WithJobTime(0))
	t.Cleanup(service.Close)
	service.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpUploadChunk, Skip: 3, Stall: oraclemarkettest.StallResponse})
	uploads := service.Client()
	a.Oracle = func(context.Context) (*oraclemarket.Client, error) { return uploads, nil }
	w := New(c, a, Options{})
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	in := upload()
	in.Concurrency = 1
	run, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: "upload", TaskQueue: workflows.ControlQueue}, workflows.UploadImage, in)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return service.Count(oraclemarkettest.OpUploadChunk) == 4 }, 30*time.Second, 10*time.Millisecond)
	_, err = c.WorkflowService().ResetActivity(ctx, &workflowservice.ResetActivityRequest{
		Namespace: client.DefaultNamespace, Execution: &commonpb.WorkflowExecution{WorkflowId: run.GetID()},
		Activity: &workflowservice.ResetActivityRequest_Type{Type: "UploadImage"}, ResetHeartbeat: true,
	})
	require.NoError(t, err)
	var status workflows.Status
	require.Eventually(t, func() bool {
		value, err := c.QueryWorkflow(ctx, run.GetID(), "", workflows.StatusQuery)
		return err == nil && value.Get(&status) == nil && status.State == workflows.StateNeedsDecision
	}, 30*time.Second, 100*time.Millisecond)
	id := service.Uploads()[0].ID
	require.Contains(t, status.Problem, strconv.FormatInt(id, 10))
	decided, err := c.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		WorkflowID: run.GetID(), UpdateName: workflows.DecideUpdate, WaitForStage: client.WorkflowUpdateStageCompleted,
		Args: []any{workflows.Decision{Action: workflows.Adopt, ID: strconv.FormatInt(id, 10)}},
	})
	require.NoError(t, err)
	require.NoError(t, decided.Get(ctx, nil))
	require.NoError(t, run.Get(ctx, nil))
	require.Len(t, service.Uploads(), 1)
	require.Equal(t, oraclemarkettest.Completed, service.Uploads()[0].Status)
}

func TestCodec(t *testing.T) {
	key := make([]byte, keySize)
	c := converter.NewCodecDataConverter(converter.GetDefaultDataConverter(), newCodec(key))
	plain, err := converter.GetDefaultDataConverter().ToPayload("text")
	require.NoError(t, err)
	var text string
	require.NoError(t, c.FromPayload(plain, &text), "from before there was a key")
	require.Equal(t, "text", text)
	payload, err := c.ToPayload("secret")
	require.NoError(t, err)
	require.NotContains(t, payload.String(), "secret")
	require.NoError(t, c.FromPayload(payload, &text))
	require.Equal(t, "secret", text)
	key[0]++
	other := converter.NewCodecDataConverter(converter.GetDefaultDataConverter(), newCodec(key))
	require.ErrorContains(t, other.FromPayload(payload, &text), "another key")
}

func TestBadPayloadKey(t *testing.T) {
	for _, key := range []string{"ab", strings.Repeat("x", 64)} {
		t.Setenv(keyVariable, key)
		_, err := ClientOptions()
		require.ErrorContains(t, err, keyVariable)
		require.NotContains(t, err.Error(), key)
	}
}
