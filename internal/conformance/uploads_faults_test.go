package conformance

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/internal/transport"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

func uploadFaults() []uploadFault {
	list := slices.Concat(uploadLags(), chunkFaults(), goneFaults())
	for _, operation := range []string{
		oraclemarkettest.OpCreate, oraclemarkettest.OpInitiate, oraclemarkettest.OpList,
		oraclemarkettest.OpUploadChunk, oraclemarkettest.OpMerge, oraclemarkettest.OpGet,
	} {
		for _, status := range []int{http.StatusNotFound, http.StatusConflict, http.StatusGone} {
			list = append(list, statusFault(operation, status, false), statusFault(operation, status, true))
		}
		list = append(list,
			responseFault(operation, "an early 200", oraclemarkettest.Fault{Early: true}, false),
			responseFault(operation, "an early 200", oraclemarkettest.Fault{Early: true}, true),
			responseFault(operation, "{}", oraclemarkettest.Fault{Body: "{}"}, false),
			responseFault(operation, "{}", oraclemarkettest.Fault{Body: "{}"}, true),
		)
		if operation != oraclemarkettest.OpGet && operation != oraclemarkettest.OpList {
			job := oraclemarkettest.Fault{
				Status: http.StatusAccepted, Process: true, Body: `{"state":"running"}`,
				Header: http.Header{"Location": {"/appstore/publisher/v1/jobs/4711"}},
			}
			list = append(list, responseFault(operation, "202 of a job", job, false), responseFault(operation, "202 of a job", job, true))
		}
		if operation != oraclemarkettest.OpCreate && operation != oraclemarkettest.OpInitiate && operation != oraclemarkettest.OpList {
			other := oraclemarkettest.Fault{Body: `{"uploadRequestId":4711,"entityId":"4711","statusName":"Completed","uploadedChunks":20,"pendingChunks":0}`}
			list = append(list, responseFault(operation, "another id", other, false), responseFault(operation, "another id", other, true))
		}
	}
	return list
}

// makes reports whether the way makes such requests.
func (w *uploadWay) makes(operation string) bool {
	if w.whole || operation == oraclemarkettest.OpCreate {
		return w.whole && operation == oraclemarkettest.OpCreate
	}
	switch operation {
	case oraclemarkettest.OpInitiate:
		return w.begins() == operation && w.before == nil
	case oraclemarkettest.OpUploadChunk:
		return w.begins() != oraclemarkettest.OpMerge
	default:
		return true
	}
}

// looksUp has the upload request searched in List.
func (r *uploadRig) looksUp() {
	if r.way.before == nil {
		r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpInitiate, Drop: oraclemarkettest.DropAfter})
	}
}

func named(operation, what string, always bool) string {
	if !always {
		what += ", once"
	}
	return operation + ": " + what
}

func injects(operation string, fault oraclemarkettest.Fault, always bool) func(*uploadRig) {
	return func(r *uploadRig) {
		if operation == oraclemarkettest.OpList {
			r.looksUp()
		}
		fault.Operation = operation
		if operation == oraclemarkettest.OpUploadChunk {
			fault.Match = func(q *http.Request) bool { // others are stored
				n, err := strconv.Atoi(q.Header.Get("X-Chunk-Number"))
				return err == nil && n >= freshChunk
			}
		}
		if always {
			fault.Times = -1
		}
		r.Inject(fault)
	}
}

func meets(operation string) func(*uploadWay) bool {
	return func(w *uploadWay) bool {
		if operation == oraclemarkettest.OpList {
			return w.begins() == oraclemarkettest.OpInitiate
		}
		return w.makes(operation)
	}
}

func statusFault(operation string, status int, always bool) uploadFault {
	return uploadFault{
		name: named(operation, strconv.Itoa(status), always), meets: meets(operation),
		inject: injects(operation, oraclemarkettest.Fault{Status: status}, always),
		want: func(w *uploadWay) *uploadEnd {
			// After a failed merge the record is read first, and what is not there may lag.
			gone := status == http.StatusGone && w.before != nil && w.begins() != oraclemarkettest.OpInitiate
			passes := operation == oraclemarkettest.OpMerge ||
				operation == oraclemarkettest.OpUploadChunk && status != http.StatusConflict ||
				operation == oraclemarkettest.OpGet && (status == http.StatusNotFound || gone)
			if passes && !always {
				return nil
			}
			return &uploadEnd{status: status}
		},
	}
}

func responseFault(operation, what string, fault oraclemarkettest.Fault, always bool) uploadFault {
	status := max(fault.Status, http.StatusOK)
	return uploadFault{
		name: named(operation, what, always), meets: meets(operation), inject: injects(operation, fault, always),
		want: func(*uploadWay) *uploadEnd {
			switch {
			case operation == oraclemarkettest.OpCreate:
				return &uploadEnd{status: status, is: transport.ErrAmbiguous}
			case !always, fault.Body != "" && (operation == oraclemarkettest.OpInitiate || operation == oraclemarkettest.OpMerge):
				return nil // for always: it was carried out, as List or Get shows
			case operation == oraclemarkettest.OpInitiate, operation == oraclemarkettest.OpMerge:
				return &uploadEnd{status: status, is: transport.ErrAmbiguous}
			default:
				return &uploadEnd{status: status, is: transport.ErrTransient}
			}
		},
	}
}

func uploadLags() []uploadFault {
	var list []uploadFault
	for _, d := range []time.Duration{500 * time.Millisecond, 3 * time.Second, 20 * time.Second} {
		list = append(list,
			uploadFault{
				name: fmt.Sprintf("a lost initiate, lists lag %s", d), meets: meets(oraclemarkettest.OpList), want: succeeds,
				options: []oraclemarkettest.Option{oraclemarkettest.WithListLag(d)}, inject: (*uploadRig).looksUp,
			},
			uploadFault{
				name: fmt.Sprintf("records lag %s", d), meets: meets(oraclemarkettest.OpGet), want: succeeds,
				options: []oraclemarkettest.Option{oraclemarkettest.WithGetLag(d)}, inject: func(*uploadRig) {},
			},
			uploadFault{
				name: fmt.Sprintf("counts lag %s", d), meets: meets(oraclemarkettest.OpMerge), want: succeeds,
				options: []oraclemarkettest.Option{oraclemarkettest.WithChunkCountLag(d)}, inject: func(*uploadRig) {},
			},
			uploadFault{
				name: fmt.Sprintf("a lost initiate, all lags %s", d), meets: meets(oraclemarkettest.OpList), want: succeeds,
				options: []oraclemarkettest.Option{
					oraclemarkettest.WithListLag(d), oraclemarkettest.WithGetLag(d), oraclemarkettest.WithChunkCountLag(d),
				},
				inject: (*uploadRig).looksUp,
			},
		)
	}
	return list
}

// freshChunk is the number of a chunk that was not sent when an upload is
// resumed, and after others.
const freshChunk = 12

// chunkFaults are about chunks that the service has, or may have, already.
func chunkFaults() []uploadFault {
	is := func(q *http.Request) bool { return q.Header.Get("X-Chunk-Number") == strconv.Itoa(freshChunk) }
	again := func(first oraclemarkettest.Fault) func(*uploadRig) {
		return func(r *uploadRig) {
			first.Operation, first.Match = oraclemarkettest.OpUploadChunk, is
			r.Inject(first)
			r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpUploadChunk, Match: is, Status: http.StatusConflict, Times: -1})
		}
	}
	stored := oraclemarkettest.Fault{Drop: oraclemarkettest.DropAfter}
	return []uploadFault{
		{
			name: "409 for a stored chunk, sent again", meets: meets(oraclemarkettest.OpUploadChunk), want: succeeds,
			inject: again(stored),
		},
		{
			name: "409 for a stored chunk, sent again, counts lag 20s", meets: meets(oraclemarkettest.OpUploadChunk), want: succeeds,
			inject: again(stored), options: []oraclemarkettest.Option{oraclemarkettest.WithChunkCountLag(20 * time.Second)},
		},
		{
			name: "409 for a chunk that did not arrive", meets: meets(oraclemarkettest.OpUploadChunk),
			inject: again(oraclemarkettest.Fault{Drop: oraclemarkettest.DropDuring}),
			want:   func(*uploadWay) *uploadEnd { return &uploadEnd{status: http.StatusConflict} },
		},
		{
			name: "409 for all that is there at resume", meets: resumesChunks,
			inject: func(r *uploadRig) {
				there := r.Uploads()[0].Receipts
				r.Inject(oraclemarkettest.Fault{
					Operation: oraclemarkettest.OpUploadChunk, Status: http.StatusConflict, Times: -1,
					Match: func(q *http.Request) bool {
						n, err := strconv.Atoi(q.Header.Get("X-Chunk-Number"))
						return err == nil && there[n] > 0
					},
				})
			},
			want: func(w *uploadWay) *uploadEnd {
				if w.unchecked { // nothing shows that it is of this file
					return &uploadEnd{status: http.StatusConflict}
				}
				return nil
			},
		},
	}
}

func succeeds(*uploadWay) *uploadEnd { return nil }

// resumesChunks is for the ways that resume with chunks left to send.
func resumesChunks(w *uploadWay) bool {
	return w.before != nil && w.begins() == oraclemarkettest.OpUploadChunk
}

// goneFaults are about an upload request that is not there when it is resumed.
func goneFaults() []uploadFault {
	var list []uploadFault
	for _, status := range []int{http.StatusNotFound, http.StatusGone} {
		list = append(list,
			uploadFault{
				name: fmt.Sprintf("%d at resume for 20s", status), meets: resumesChunks, want: succeeds,
				inject: func(r *uploadRig) {
					end := time.Now().Add(20 * time.Second)
					r.Inject(oraclemarkettest.Fault{
						Operation: oraclemarkettest.OpGet, Status: status, Times: -1,
						Match: func(*http.Request) bool { return time.Now().Before(end) },
					})
				},
			},
			uploadFault{
				name: fmt.Sprintf("%d at resume and in no list", status), meets: resumesChunks, want: succeeds, leaves: 1,
				inject: func(r *uploadRig) {
					of := fmt.Sprintf("/%d", r.Uploads()[0].ID)
					r.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpList, Times: -1, Body: `{"items":[],"hasMore":false,"count":0}`})
					r.Inject(oraclemarkettest.Fault{
						Operation: oraclemarkettest.OpGet, Status: status, Times: -1,
						Match: func(q *http.Request) bool { return strings.HasSuffix(q.URL.Path, of) },
					})
				},
			},
		)
	}
	return append(list, uploadFault{
		name: "deleted before it is resumed", meets: resumesChunks,
		inject: func(r *uploadRig) {
			_, err := r.images.DeleteEverywhere(context.Background(), r.Uploads()[0].ID)
			require.NoError(r.t, err)
		},
		want: func(*uploadWay) *uploadEnd { return &uploadEnd{ended: true} },
	})
}
