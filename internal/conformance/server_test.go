package conformance

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/internal/emulator"
)

// canned is the good answer to one kind of request.
type canned struct {
	operation, pattern string
	status             int
	header             http.Header
	body               string
}

const (
	uploadRecord = `{"uploadRequestId":7,"application":"other","version":"1.0","operatingSystem":"Linux","fileName":"image.tar.gz",
		"statusName":"Completed","uploadedChunks":"1","pendingChunks":0,"createdDate":"2019-01-02T03:04:05.000Z",
		"dataCenterImageUploadRequests":[{"dataCenterName":"us2","statusName":"Completed","uploadProgress":"100%"}]}`
	job   = `"success":true,"jobstatename":"Completed","jobstateid":5,"jobprogress":100,"jobcreated":"2019-01-02T03:04:05Z"`
	tower = `{"job_id":"job","status":"replicated","copy_progress":100,"source_image_id":"image","source_region_id":"jp1",
		"destination_tenant_id":"tenant","destination_image_id":"copy"}`
)

func answers() []canned {
	subject := http.Header{"X-Subject-Token": {tokenValue}}
	const (
		granted = `{"access_token":"` + `MARKEDsecret.of.login` + `","expires_in":604800}`
		catalog = `{"token":{"expires_at":null,"methods":["password"],"catalog":[{"type":"image","name":"glance","endpoints":[
			{"interface":"public","region":"jp1","region_id":"jp1","url":"https://glance.example"}]}]}}`
		api = "/appstore/publisher/v1/"
		ack = `{"message":"OK","entityId":"7"}`
	)
	list := []canned{
		{operation: "MachineImages.Create", pattern: "POST " + api + "machineimages", body: ack},
		{operation: "MachineImages.UploadChunk", pattern: "POST " + api + "machineimages/{id}/chunk", body: `{"uploadRequestId":"7","uploadedChunks":1,"pendingChunks":0}`},
		{operation: "MachineImages.Merge", pattern: "PATCH " + api + "machineimages/{id}", body: ack},
		{operation: "MachineImages.Get", pattern: "GET " + api + "machineimages/{id}", body: uploadRecord},
		{operation: "MachineImages.Head", pattern: "HEAD " + api + "machineimages/{id}", header: http.Header{"X-Upload-Status": {"COMPLETED"}, "X-Created-By": {"somebody"}}},
		{operation: "MachineImages.Delete", pattern: "DELETE " + api + "machineimages/{id}", body: ack},
		{operation: "MachineImages.List", pattern: "GET " + api + "machineimages", body: `{"items":[` + uploadRecord + `,{"machineimage":` + uploadRecord + `}],"hasMore":false,"count":2}`},
		{operation: "StorageImages.List", pattern: "GET " + api + "storageimages", body: `{"items":[` + uploadRecord + `],"hasMore":false,"count":1}`},
		{operation: "StorageImages.Get", pattern: "GET " + api + "storageimages/{path...}", body: `{"fileName":"image.tar.gz","path":"mi/app","storageDataCenterImageStatuses":[{"dataCenterName":"us2","isAvailable":"true","size":"5"}]}`},
		{operation: "StorageImages.Copy", pattern: "POST " + api + "storageimages/{path...}", body: ack},
		{operation: "Authenticate", pattern: "GET " + api + "authenticate", body: granted},
		{operation: "OAMToken", pattern: "POST /oam/oauth2/tokens", body: granted},

		{operation: "Jobs.Create", pattern: "POST /v2/extension/image_replicator/jobs", status: http.StatusAccepted, body: `{"job_id":"job"}`},
		{operation: "Jobs.List", pattern: "GET /v2/extension/image_replicator/jobs", body: "[" + tower + "," + tower + "]"},
		{operation: "Jobs.Get", pattern: "GET /v2/extension/image_replicator/jobs/{id}", body: tower},
		{operation: "Jobs.Cancel", pattern: "DELETE /v2/extension/image_replicator/jobs/{id}", status: http.StatusNoContent},
		{operation: "Tokens.Create", pattern: "POST /v3/auth/tokens", status: http.StatusCreated, header: subject, body: catalog},
		{operation: "Tokens.Get", pattern: "GET /v3/auth/tokens", header: subject, body: catalog},

		{operation: "ImageInstalls.List", pattern: "GET /cfp/v1/imageinstall/status", body: `{"success":true,"installs":[{"jobid":3,"target_imageversionid":3,` + job + `}]}`},
		{operation: "ImageInstalls.Queue", pattern: "GET /cfp/v1/imageinstall/{id}/queue", body: `{"machinejobid":"8",` + job + `}`},
		{operation: "Images.Options", pattern: "GET /cfp/v1/image/options", body: `{"success":true,"diffid":1,"update_url":"s3://` + mark + `:` + mark + `@bucket/folder/","games":[{"gameid":1,"name":"game"}],"images":[],"machines":[]}`},
		{operation: "Images.SetActive", pattern: "GET /cfp/v1/image/{id}/update", body: `{"success":true,"image":{"imageid":1,"active":true,"path":"p"}}`},
		{operation: "Images.RolloutStatus", pattern: "GET /cfp/v2/project/{project}/image/{id}/status", body: `{"success":true,"pending_machines":0,"failed_machines":0,"completed_machines":9}`},
	}
	for resource, id := range map[string]string{"imageupdate": "updateid", "imagediff": "diffid", "imageversion": "imageversionid"} {
		service := map[string]string{"imageupdate": "ImageUpdates", "imagediff": "ImageDiffs", "imageversion": "ImageVersions"}[resource]
		body := `{"` + id + `":"7",` + job + `}`
		list = append(list, canned{operation: service + ".Create", pattern: "GET /cfp/v1/" + resource + "/create", body: body})
		for _, action := range []string{"Status", "Retry", "Reject"} {
			list = append(list, canned{operation: service + "." + action, pattern: "GET /cfp/v1/" + resource + "/{id}/" + strings.ToLower(action), body: body})
		}
	}
	for i := range list {
		if list[i].status == 0 {
			list[i].status = http.StatusOK
		}
	}
	return list
}

// good is the body of the good answer to a kind of request.
func good(operation string) string {
	if operation == "MachineImages.Initiate" {
		operation = "MachineImages.Create"
	}
	for _, c := range answers() {
		if c.operation == operation {
			return c.body
		}
	}
	panic("no such operation: " + operation)
}

// services are all three services and Keystone, at one address.
type services struct {
	*emulator.Server
}

// newServices starts the services; a nil listener is one on a loopback port.
func newServices(t *testing.T, l net.Listener) *services {
	t.Helper()
	s := &services{}
	s.Server = emulator.New(emulator.Config{Listener: l, Refine: func(operation string, r *http.Request) string {
		if operation == "MachineImages.Create" && r.Header.Get("X-Number-Of-Chunks") != "" {
			return "MachineImages.Initiate"
		}
		return operation
	}})
	for _, c := range answers() {
		s.Handle(c.operation, c.pattern, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			maps.Copy(w.Header(), c.header)
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(c.status)
			if c.status != http.StatusNoContent && r.Method != http.MethodHead {
				_, _ = io.WriteString(w, s.body(c))
			}
		})
	}
	require.NoError(t, s.Start())
	t.Cleanup(s.Close)
	return s
}

// body is the answer to c. What the service knows of uploads depends on what was done: that is how an upload finds out
// about a request whose answer was lost.
func (s *services) body(c canned) string {
	begun, merged := s.Processed("MachineImages.Initiate"), s.Processed("MachineImages.Merge") > 0
	if begun == 0 {
		return c.body
	}
	switch {
	case c.operation == "MachineImages.Get" && !merged:
		return strings.ReplaceAll(c.body, "Completed", "Initiated")
	case c.operation == "MachineImages.List":
		items := make([]map[string]any, begun)
		for i := range items {
			items[i] = map[string]any{
				"uploadRequestId": 7 + i, "application": "app", "version": "1.0", "operatingSystem": "Linux",
				"fileName": "image.tar.gz", "statusName": "INITIATED",
			}
		}
		data, err := json.Marshal(map[string]any{"items": items, "hasMore": false})
		if err != nil {
			panic(err)
		}
		return string(data)
	}
	return c.body
}

// dialer connects to a listener in memory, whatever the address, and keeps a list of the addresses.
type dialer struct {
	pipe  *emulator.PipeListener
	first func(n int64) (net.Conn, error) // nil to connect; may answer nil, nil to connect as well
	n     atomic.Int64
	other atomic.Int64 // connections to any address but the expected
	addr  string
}

func (d *dialer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	n := d.n.Add(1)
	if addr != d.addr {
		d.other.Add(1)
		return nil, fmt.Errorf("a connection to %s was asked for", addr)
	}
	if d.first != nil {
		if conn, err := d.first(n); conn != nil || err != nil {
			return conn, err
		}
	}
	return d.pipe.DialContext(ctx, network, addr)
}

// httpClient sends through d. Connections for https are pipes as well: what TLS does is tested elsewhere.
func (d *dialer) httpClient(t *testing.T) *http.Client {
	t.Helper()
	tr := &http.Transport{DialContext: d.dial, DialTLSContext: d.dial, MaxConnsPerHost: 64, MaxIdleConnsPerHost: 64}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// httpsClient is one that speaks TLS on its connections.
func (d *dialer) httpsClient(t *testing.T, config *tls.Config) *http.Client {
	t.Helper()
	tr := &http.Transport{DialContext: d.dial, TLSClientConfig: config}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

const pipeBase = "http://127.0.0.1"

// inMemory is the services and an env that reaches them, for a bubble of virtual time.
func inMemory(t *testing.T) (*services, *dialer, *env) {
	t.Helper()
	pipe := emulator.NewPipeListener()
	s := newServices(t, pipe)
	d := &dialer{pipe: pipe, addr: "127.0.0.1:80"}
	return s, d, &env{base: pipeBase, client: d.httpClient(t)}
}
