package conformance

import (
	"encoding/json"
	"io"
	"maps"
	"net"
	"net/http"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/internal/emulator"
)

// canned is the good response to one kind of request.
type canned struct {
	operation, pattern string // without a pattern, see refine
	status             int
	header             http.Header
	body               string
	id, otherID        string // in the body, if it repeats the id of the request
}

const (
	uploadRecord = `{"uploadRequestId":7,"application":"other","version":"1.0","operatingSystem":"Linux","fileName":"image.tar.gz",
		"statusName":"Completed","uploadedChunks":"1","pendingChunks":0,"createdDate":"2019-01-02T03:04:05.000Z",
		"dataCenterImageUploadRequests":[{"dataCenterName":"us2","statusName":"Completed","uploadProgress":"100%"}]}`
	job   = `"success":true,"jobstatename":"Completed","jobstateid":5,"jobprogress":100,"jobcreated":"2019-01-02T03:04:05Z"`
	tower = `{"job_id":"job","status":"replicated","copy_progress":100,"source_image_id":"image","source_region_id":"jp1",
		"destination_tenant_id":"tenant","destination_image_id":"copy"}`
)

func responses() []canned {
	list := slices.Concat(oracleResponses(), replicatorResponses(), multiplayResponses())
	for i := range list {
		if list[i].status == 0 {
			list[i].status = http.StatusOK
		}
	}
	return list
}

func oracleResponses() []canned {
	const (
		granted  = `{"access_token":"` + mark + `.of.login","expires_in":604800}`
		api      = "/appstore/publisher/v1/"
		ack      = `{"message":"OK","entityId":"7"}`
		entity   = `"entityId":"7"`
		other    = `"entityId":"8"`
		record   = `"uploadRequestId":7,`
		another  = `"uploadRequestId":8,`
		chunkAck = `{"uploadRequestId":7,"uploadedChunks":1,"pendingChunks":0}`
	)
	head := http.Header{"X-Upload-Status": {"COMPLETED"}, "X-Created-By": {"somebody"}}
	return []canned{
		{operation: "MachineImages.Create", pattern: "POST " + api + "machineimages", body: ack},
		{operation: "MachineImages.UploadChunk", pattern: "POST " + api + "machineimages/{id}/chunk", body: chunkAck, id: record, otherID: another},
		{operation: "MachineImages.Merge", pattern: "PATCH " + api + "machineimages/{id}", body: ack, id: entity, otherID: other},
		{operation: "MachineImages.Get", pattern: "GET " + api + "machineimages/{id}", body: uploadRecord, id: record, otherID: another},
		// What DeleteEverywhere left, and an upload that did not come to its merge.
		{operation: "MachineImages.GetDeleted", body: `{"uploadRequestId":9,"statusName":"DELETED"}`},
		{operation: "MachineImages.GetUnfinished", body: `{"uploadRequestId":10,"statusName":"INITIATED"}`},
		{operation: "MachineImages.UploadChunkUnfinished", body: `{"uploadRequestId":10,"uploadedChunks":1,"pendingChunks":0}`},
		{operation: "MachineImages.MergeUnfinished", body: `{"message":"OK","entityId":"10"}`},
		{operation: "MachineImages.DeleteUnfinished", body: `{"message":"OK","entityId":"10"}`},
		{operation: "MachineImages.Head", pattern: "HEAD " + api + "machineimages/{id}", header: head},
		{operation: "MachineImages.Delete", pattern: "DELETE " + api + "machineimages/{id}", body: ack, id: entity, otherID: other},
		{operation: "MachineImages.List", pattern: "GET " + api + "machineimages", body: `{"items":[` + uploadRecord + `,{"machineimage":` + uploadRecord + `}],"hasMore":false,"count":2}`},
		{operation: "StorageImages.List", pattern: "GET " + api + "storageimages", body: `{"items":[` + uploadRecord + `],"hasMore":false,"count":1}`},
		{
			operation: "StorageImages.Get", pattern: "GET " + api + "storageimages/{path...}",
			body: `{"fileName":"image.tar.gz","path":"` + storedPath + `","storageDataCenterImageStatuses":[{"dataCenterName":"us2","isAvailable":"true","size":"5"}]}`,
			id:   storedPath, otherID: "mi/app/1.0/Linux/other.tar.gz",
		},
		{operation: "StorageImages.Copy", pattern: "POST " + api + "storageimages/{path...}", body: ack},
		{operation: "Authenticate", pattern: "GET " + api + "authenticate", body: granted},
		{operation: "OAMToken", pattern: "POST /oam/oauth2/tokens", body: granted},
	}
}

func replicatorResponses() []canned {
	const (
		api     = "/v2/extension/image_replicator/"
		catalog = `{"token":{"expires_at":null,"methods":["password"],"catalog":[{"type":"image","name":"glance","endpoints":[
			{"interface":"public","region":"jp1","region_id":"jp1","url":"https://glance.example"}]}]}}`
	)
	subject := http.Header{"X-Subject-Token": {tokenValue}}
	return []canned{
		{operation: "Jobs.Create", pattern: "POST " + api + "jobs", status: http.StatusAccepted, body: `{"job_id":"created"}`},
		{operation: "Jobs.List", pattern: "GET " + api + "jobs", body: "[" + tower + "," + tower + "]"},
		{operation: "Jobs.Get", pattern: "GET " + api + "jobs/{id}", body: tower, id: `"job_id":"job"`, otherID: `"job_id":"other"`},
		{operation: "Jobs.Cancel", pattern: "DELETE " + api + "jobs/{id}", status: http.StatusNoContent},
		{operation: "Tokens.Create", pattern: "POST /v3/auth/tokens", status: http.StatusCreated, header: subject, body: catalog},
		{operation: "Tokens.Get", pattern: "GET /v3/auth/tokens", header: subject, body: catalog},
	}
}

func multiplayResponses() []canned {
	list := []canned{
		{operation: "ImageInstalls.List", pattern: "GET /cfp/v1/imageinstall/status", body: `{"success":true,"installs":[{"jobid":3,"target_imageversionid":7,` + job + `}]}`},
		{operation: "ImageInstalls.Queue", pattern: "GET /cfp/v1/imageinstall/{id}/queue", body: `{"machinejobid":"8",` + job + `}`},
		{operation: "Images.Options", pattern: "GET /cfp/v1/image/options", body: `{"success":true,"diffid":1,"update_url":"s3://` + mark + `:` + mark + `@bucket/folder/","games":[{"gameid":1,"name":"game"}],"images":[],"machines":[]}`},
		{
			operation: "Images.SetActive", pattern: "GET /cfp/v1/image/{id}/update",
			body: `{"success":true,"image":{"imageid":1,"active":true,"path":"p"}}`,
			id:   `"imageid":1,`, otherID: `"imageid":2,`,
		},
		{operation: "Images.RolloutStatus", pattern: "GET /cfp/v2/project/{project}/image/{id}/status", body: `{"success":true,"pending_machines":0,"failed_machines":0,"completed_machines":9}`},
	}
	for _, r := range []struct{ service, resource, id, more string }{
		{"ImageUpdates", "imageupdate", "updateid", ""},
		{"ImageDiffs", "imagediff", "diffid", `"added":{"file":{}},"modified":{},"removed":{},`},
		{"ImageVersions", "imageversion", "imageversionid", ""},
	} {
		id := `"` + r.id + `":"7"`
		body := "{" + id + "," + r.more + job + "}"
		list = append(list, canned{operation: r.service + ".Create", pattern: "GET /cfp/v1/" + r.resource + "/create", body: body})
		for _, action := range []string{"Status", "Retry", "Reject"} {
			list = append(list, canned{
				operation: r.service + "." + action, pattern: "GET /cfp/v1/" + r.resource + "/{id}/" + strings.ToLower(action),
				body: body, id: id, otherID: `"` + r.id + `":"8"`,
			})
		}
	}
	return list
}

// response returns the good response to a kind of request.
func response(operation string) canned {
	if operation == "MachineImages.Initiate" {
		operation = "MachineImages.Create"
	}
	for _, c := range responses() {
		if c.operation == operation {
			return c
		}
	}
	panic("no such operation: " + operation)
}

// good returns the body of that response.
func good(operation string) string { return response(operation).body }

// ofAnother returns the body as it is about another id than that of the
// request, or "" if there is none in it.
func ofAnother(operation string) string {
	c := response(operation)
	if c.id == "" {
		return ""
	}
	return strings.Replace(c.body, c.id, c.otherID, 1)
}

// Of each request for something with an id, the response is tried with another
// one.
func TestIDsOfResponses(t *testing.T) {
	repeatsNone := []string{
		"MachineImages.Head", "Jobs.Cancel", // no body
		"StorageImages.Copy", "ImageInstalls.Queue", // names what is new
		"Images.RolloutStatus", // counts alone
	}
	for _, c := range responses() {
		repeats := c.id != ""
		require.Equal(t, strings.Contains(c.pattern, "{") && !slices.Contains(repeatsNone, c.operation), repeats, c.operation)
		if repeats {
			require.NotEqual(t, c.body, ofAnother(c.operation))
		}
	}
}

// services are all three services and Keystone, at one address.
type services struct{ *emulator.Server }

// newServices starts the services; a nil listener is one on a loopback port.
func newServices(t *testing.T, l net.Listener) *services {
	t.Helper()
	s := &services{}
	s.Server = emulator.New(emulator.Config{Listener: l, Refine: refine})
	for _, c := range responses() {
		if c.pattern == "" {
			continue
		}
		s.Handle(c.operation, c.pattern, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			if c.operation == "ImageDiffs.Create" && s.Processed(c.operation) > 0 { // an image has one
				emulator.MarkProcessed(w, false)
				_, _ = io.WriteString(w, `{"success":false,"error_code":1,"error_message":"image locked by diffid: 7"}`)
				return
			}
			maps.Copy(w.Header(), c.header)
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(c.status)
			if c.status != http.StatusNoContent && r.Method != http.MethodHead {
				_, _ = io.WriteString(w, s.body(response(refine(c.operation, r))))
			}
		})
	}
	require.NoError(t, s.Start())
	t.Cleanup(s.Close)
	return s
}

// refine tells apart what a pattern does not.
func refine(operation string, r *http.Request) string {
	switch operation + " " + path.Base(r.URL.Path) {
	case "MachineImages.Create machineimages":
		if r.Header.Get("X-Number-Of-Chunks") != "" {
			return "MachineImages.Initiate"
		}
	case "MachineImages.Get 9":
		return "MachineImages.GetDeleted"
	case "MachineImages.Get 10":
		return "MachineImages.GetUnfinished"
	case "MachineImages.UploadChunk chunk":
		if path.Base(path.Dir(r.URL.Path)) == "10" {
			return "MachineImages.UploadChunkUnfinished"
		}
	case "MachineImages.Merge 10":
		return "MachineImages.MergeUnfinished"
	case "MachineImages.Delete 10":
		return "MachineImages.DeleteUnfinished"
	}
	return operation
}

// body returns that of the response c. What the service knows of uploads
// depends on what was done: that is how an upload finds out about a request
// whose response was lost.
func (s *services) body(c canned) string {
	if c.operation == "Jobs.List" && s.Processed("Jobs.Create") > 0 {
		created := strings.Replace(tower, `"job_id":"job"`, `"job_id":"created"`, 1)
		return "[" + tower + "," + created + "]"
	}
	if c.operation == "MachineImages.GetUnfinished" && s.Processed("MachineImages.MergeUnfinished") > 0 {
		return strings.ReplaceAll(c.body, "INITIATED", "COMPLETED")
	}
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
