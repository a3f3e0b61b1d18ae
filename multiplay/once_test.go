package multiplay_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/multiplay"
	"github.com/imagejobs/imagejobs-go/multiplay/multiplaytest"
)

// changes are the calls that change something, reads those that only read.
func changes() map[string]func(context.Context, *multiplay.Client) error {
	return map[string]func(context.Context, *multiplay.Client) error{
		"ImageUpdates.Create": func(ctx context.Context, c *multiplay.Client) error {
			_, err := c.ImageUpdates.Create(ctx, &multiplay.CreateImageUpdateRequest{
				ImageID: 1, MachineID: 2, Description: "x",
				Source: multiplay.S3Source{AccessKey: s3Key(), SecretKey: s3SecretKey(), Bucket: "b"},
			})
			return err
		},
		"ImageUpdates.Retry": func(ctx context.Context, c *multiplay.Client) error {
			_, err := c.ImageUpdates.Retry(ctx, 1)
			return err
		},
		"ImageDiffs.Create": func(ctx context.Context, c *multiplay.Client) error {
			_, err := c.ImageDiffs.Create(ctx, &multiplay.CreateImageDiffRequest{ImageID: 1, MachineID: 2})
			return err
		},
		"ImageDiffs.Retry": func(ctx context.Context, c *multiplay.Client) error {
			_, err := c.ImageDiffs.Retry(ctx, 1)
			return err
		},
		"ImageDiffs.Reject": func(ctx context.Context, c *multiplay.Client) error {
			_, err := c.ImageDiffs.Reject(ctx, 1, nil)
			return err
		},
		"ImageVersions.Create": func(ctx context.Context, c *multiplay.Client) error {
			_, err := c.ImageVersions.Create(ctx, &multiplay.CreateImageVersionRequest{DiffID: 1})
			return err
		},
		"ImageInstalls.Queue": func(ctx context.Context, c *multiplay.Client) error {
			_, err := c.ImageInstalls.Queue(ctx, &multiplay.QueueImageInstallRequest{JobID: 1})
			return err
		},
		"Images.SetActive": func(ctx context.Context, c *multiplay.Client) error {
			_, err := c.Images.SetActive(ctx, 1, true)
			return err
		},
	}
}

func reads() map[string]func(context.Context, *multiplay.Client) error {
	return map[string]func(context.Context, *multiplay.Client) error{
		"ImageUpdates.Status": func(ctx context.Context, c *multiplay.Client) error {
			_, err := c.ImageUpdates.Status(ctx, 1)
			return err
		},
		"ImageUpdates.Wait": func(ctx context.Context, c *multiplay.Client) error {
			_, err := c.ImageUpdates.Wait(ctx, 1)
			return err
		},
		"ImageUpdates.Watch": func(ctx context.Context, c *multiplay.Client) error {
			for _, err := range c.ImageUpdates.Watch(ctx, 1) {
				if err != nil {
					return err
				}
			}
			return nil
		},
		"ImageDiffs.Status": func(ctx context.Context, c *multiplay.Client) error {
			_, err := c.ImageDiffs.Status(ctx, 1, &multiplay.ImageDiffStatusOptions{Info: true})
			return err
		},
		"ImageDiffs.Wait": func(ctx context.Context, c *multiplay.Client) error {
			_, err := c.ImageDiffs.Wait(ctx, 1)
			return err
		},
		"ImageDiffs.Watch": func(ctx context.Context, c *multiplay.Client) error {
			for _, err := range c.ImageDiffs.Watch(ctx, 1) {
				if err != nil {
					return err
				}
			}
			return nil
		},
		"ImageVersions.Status": func(ctx context.Context, c *multiplay.Client) error {
			_, err := c.ImageVersions.Status(ctx, 1)
			return err
		},
		"ImageVersions.Wait": func(ctx context.Context, c *multiplay.Client) error {
			_, err := c.ImageVersions.Wait(ctx, 1)
			return err
		},
		"ImageVersions.Watch": func(ctx context.Context, c *multiplay.Client) error {
			for _, err := range c.ImageVersions.Watch(ctx, 1) {
				if err != nil {
					return err
				}
			}
			return nil
		},
		"ImageInstalls.List": func(ctx context.Context, c *multiplay.Client) error {
			_, err := c.ImageInstalls.List(ctx)
			return err
		},
		"Images.Options": func(ctx context.Context, c *multiplay.Client) error {
			_, err := c.Images.Options(ctx, nil)
			return err
		},
		"Images.RolloutStatus": func(ctx context.Context, c *multiplay.Client) error {
			_, err := c.Images.RolloutStatus(ctx, 1, nil)
			return err
		},
		"Images.WaitRollout": func(ctx context.Context, c *multiplay.Client) error {
			_, err := c.Images.WaitRollout(ctx, 1, 1, fastPolls())
			return err
		},
		"Images.WatchRollout": func(ctx context.Context, c *multiplay.Client) error {
			for _, err := range c.Images.WatchRollout(ctx, 1, 1, fastPolls()) {
				if err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// fastPolls is for real time.
func fastPolls() multiplay.WaitOption {
	return multiplay.WithPollInterval(time.Millisecond, time.Millisecond)
}

// The two tables hold every method there is, so that a new one cannot be
// forgotten below.
func TestEveryMethodIsClassified(t *testing.T) {
	client, _ := mockClient(t)
	all := changes()
	for name, do := range reads() {
		require.NotContains(t, all, name)
		all[name] = do
	}
	var names []string
	for name := range all {
		names = append(names, name)
	}
	require.ElementsMatch(t, methods(client), names)
}

// closing is a server that responds to the first request of each connection and
// closes the connection at the second, without a response.
type closing struct {
	*httptest.Server

	mu   sync.Mutex
	seen map[string]int // by path
}

type connKey struct{}

func newClosing(t *testing.T) *closing {
	t.Helper()
	s := &closing{seen: map[string]int{}}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests, _ := r.Context().Value(connKey{}).(*int)
		*requests++
		s.mu.Lock()
		s.seen[r.URL.Path]++
		s.mu.Unlock()
		if *requests == 2 {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				conn.Close()
			}
			return
		}
		fmt.Fprint(w, `{"updateid":1,"diffid":1,"imageversionid":1,"jobstatename":"Completed","success":true,"pending_machines":0,"completed_machines":1,"machinejobid":2,"imageid":1,"added":{},"games":[],"installs":[]}`)
	}))
	s.Config.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
		return context.WithValue(ctx, connKey{}, new(int))
	}
	s.Start()
	t.Cleanup(s.Close)
	return s
}

// count is how many requests came for paths that end so.
func (s *closing) count(suffix string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for path, seen := range s.seen {
		if strings.HasSuffix(path, suffix) {
			n += seen
		}
	}
	return n
}

// anyTransport is a caller's round tripper: of a transport of net/http, calls
// that change something get connections of their own.
type anyTransport struct{ http.RoundTripper }

func (s *closing) client(t *testing.T) *multiplay.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	client, err := multiplay.New(keys(), multiplay.WithBaseURL(s.URL), multiplay.WithLogger(logger()),
		multiplay.WithHTTPClient(&http.Client{Transport: anyTransport{transport}}), multiplay.WithRetry(5, 0, time.Millisecond))
	require.NoError(t, err)
	return client
}

// net/http repeats a GET by itself when a reused connection dies. A call that
// changes something must not be.
func TestChangesAreSentOnce(t *testing.T) {
	for name, do := range changes() {
		t.Run(name, func(t *testing.T) {
			server := newClosing(t)
			client := server.client(t)
			_, err := client.ImageInstalls.List(t.Context()) // opens the connection
			require.NoError(t, err)
			require.Equal(t, 1, server.count(""))

			err = do(t.Context(), client)
			show(err)
			require.ErrorIs(t, err, multiplay.ErrAmbiguous)
			require.Equal(t, 1, requireAs[*multiplay.Error](t, err).Attempts)
			require.Equal(t, 2, server.count(""))
		})
	}
}

func TestReadsAreRetriedUnnoticed(t *testing.T) {
	for name, do := range reads() {
		t.Run(name, func(t *testing.T) {
			server := newClosing(t)
			client := server.client(t)
			_, err := client.ImageVersions.Status(t.Context(), 1)
			require.NoError(t, err)

			require.NoError(t, do(t.Context(), client))
			require.GreaterOrEqual(t, server.count(""), 3) // the first, the one that was dropped, its repetition
		})
	}
}

// A 429 was not carried out, so a change is sent again. After a 5xx, a 408 or
// a response that got lost it may have been.
func TestWhatChangesDoAfterFaults(t *testing.T) {
	server := multiplaytest.NewServer(multiplaytest.WithJobTime(0))
	t.Cleanup(server.Close)
	client := server.Client(multiplay.WithLogger(logger()), multiplay.WithRetry(5, 0, time.Millisecond))
	request := &multiplay.CreateImageUpdateRequest{
		ImageID: multiplaytest.ImageID, MachineID: multiplaytest.MachineID, Description: "x",
		Source: multiplay.S3Source{AccessKey: s3Key(), SecretKey: s3SecretKey(), Bucket: "b"},
	}

	server.Inject(multiplaytest.Fault{Operation: multiplaytest.OpUpdateCreate, Status: http.StatusTooManyRequests, Times: 2})
	_, err := client.ImageUpdates.Create(t.Context(), request)
	require.NoError(t, err)
	require.Equal(t, 3, server.Count(multiplaytest.OpUpdateCreate))
	require.Len(t, server.Updates(), 1)

	for _, fault := range []multiplaytest.Fault{
		{Status: http.StatusRequestTimeout}, {Status: http.StatusBadGateway}, {Status: http.StatusServiceUnavailable, Process: true},
		{Drop: multiplaytest.DropBefore}, {Drop: multiplaytest.DropAfter}, {CutJSON: true}, {Truncate: true}, {ContentType: "text/html", Body: "<p>hello"},
	} {
		before := server.Count(multiplaytest.OpUpdateCreate)
		fault.Operation = multiplaytest.OpUpdateCreate
		server.Inject(fault)
		_, err := client.ImageUpdates.Create(t.Context(), request)
		show(err)
		require.ErrorIs(t, err, multiplay.ErrAmbiguous, "%+v", fault)
		require.Equal(t, before+1, server.Count(multiplaytest.OpUpdateCreate), "%+v", fault)
	}
}

// A server that cannot be reached has not carried anything out.
func TestChangesAreRepeatedWhenNothingWasSent(t *testing.T) {
	attempts := 0
	transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		attempts++
		return nil, &net.OpError{Op: "dial", Err: context.DeadlineExceeded}
	}}
	client, err := multiplay.New(keys(),
		multiplay.WithHTTPClient(&http.Client{Transport: transport}), multiplay.WithRetry(3, 0, time.Millisecond))
	require.NoError(t, err)
	_, err = client.ImageUpdates.Retry(t.Context(), 1)
	require.NotErrorIs(t, err, multiplay.ErrAmbiguous)
	require.Equal(t, 3, requireAs[*multiplay.Error](t, err).Attempts)
	require.Equal(t, 3, attempts)
}
