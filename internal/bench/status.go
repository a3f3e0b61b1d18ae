package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/hashicorp/go-cleanhttp"
	"github.com/hashicorp/go-retryablehttp"
	"resty.dev/v3"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/multiplay"
	"github.com/imagejobs/imagejobs-go/oraclemarket"
)

// The types that the peers decode into, each with the fields of the service's
// sample.
type (
	plainUpload struct {
		UploadRequestID      int64     `json:"uploadRequestId"`
		Application          string    `json:"application"`
		Version              string    `json:"version"`
		OperatingSystem      string    `json:"operatingSystem"`
		FileName             string    `json:"fileName"`
		ImageFilePath        string    `json:"imageFilePath"`
		StatusName           string    `json:"statusName"`
		UploadedChunks       int       `json:"uploadedChunks"`
		PendingChunks        int       `json:"pendingChunks"`
		CreatedBy            string    `json:"createdBy"`
		CreatedDate          time.Time `json:"createdDate"`
		LastModifiedBy       string    `json:"lastModifiedBy"`
		LastModifiedDate     time.Time `json:"lastModifiedDate"`
		OverwriteStorageFile bool      `json:"overwriteStorageFile"`
		DataCenters          []struct {
			DataCenterName    string    `json:"dataCenterName"`
			StatusName        string    `json:"statusName"`
			UploadProgress    string    `json:"uploadProgress"`
			Region            string    `json:"region"`
			LastUpdatedDate   time.Time `json:"lastUpdatedDate"`
			CopyUpload        bool      `json:"copyUpload"`
			OverwriteUpload   bool      `json:"overwriteUpload"`
			ReplicaDataCenter bool      `json:"replicaDataCenter"`
		} `json:"dataCenterImageUploadRequests"`
	}
	plainJob struct {
		CopyProgress        int    `json:"copy_progress"`
		DestinationImageID  string `json:"destination_image_id"`
		DestinationRegionID string `json:"destination_region_id"`
		DestinationTenantID string `json:"destination_tenant_id"`
		JobID               string `json:"job_id"`
		SourceImageID       string `json:"source_image_id"`
		SourceImageName     string `json:"source_image_name"`
		SourceRegionID      string `json:"source_region_id"`
		SourceTenantID      string `json:"source_tenant_id"`
		Status              string `json:"status"`
	}
	plainUpdate struct {
		Success      bool    `json:"success"`
		UpdateID     int64   `json:"updateid"`
		JobStateName string  `json:"jobstatename"`
		JobStateID   int     `json:"jobstateid"`
		JobProgress  int     `json:"jobprogress"`
		JobError     *string `json:"joberror"`
		JobFailed    int     `json:"jobfailed"`
		JobCreated   int64   `json:"jobcreated"`
		JobStart     string  `json:"jobstart"`
		JobUpdated   int64   `json:"jobupdated"`
		JobETA       int64   `json:"jobeta"`
	}
)

// statusCall is one of the three calls: the SDK's method, and what its peers
// send and decode to do the same.
type statusCall struct {
	name   string
	sdk    func(context.Context) error
	url    string
	header map[string]string
	into   func() any
}

type contender struct {
	name string
	call func(context.Context) error
}

const jobID = "33911588-c299-4369-a240-7e5b741cdb6a"

func (l *lab) statusCalls() ([]statusCall, error) {
	oc, err := oraclemarket.New("partner@example.com", oraclemarket.StaticToken("token"), oraclemarket.WithBaseURL(l.plain))
	if err != nil {
		return nil, err
	}
	rc, err := imagereplicator.New(l.plain, imagereplicator.StaticToken("token"))
	if err != nil {
		return nil, err
	}
	mc, err := multiplay.New(multiplay.AccessKey(1, "access", "secret"), multiplay.WithBaseURL(l.plain))
	if err != nil {
		return nil, err
	}
	return []statusCall{
		{
			name:   "MachineImages.Get",
			sdk:    func(ctx context.Context) error { _, err := oc.MachineImages.Get(ctx, 2797087); return err },
			url:    l.plain + "/appstore/publisher/v1/machineimages/2797087",
			header: map[string]string{"Authorization": "Bearer token", "X-Oracle-UserId": "partner@example.com"},
			into:   func() any { return new(plainUpload) },
		},
		{
			name:   "Jobs.Get",
			sdk:    func(ctx context.Context) error { _, err := rc.Jobs.Get(ctx, jobID); return err },
			url:    l.plain + "/v2/extension/image_replicator/jobs/" + jobID,
			header: map[string]string{"X-Auth-Token": "token"},
			into:   func() any { return new(plainJob) },
		},
		{
			name:   "ImageUpdates.Status",
			sdk:    func(ctx context.Context) error { _, err := mc.ImageUpdates.Status(ctx, 4711); return err },
			url:    l.plain + "/cfp/v1/imageupdate/4711/status?accountserviceid=1",
			header: map[string]string{"Authorization": "Basic YWNjZXNzOnNlY3JldA==", "Content-Type": "application/x-www-form-urlencoded"},
			into:   func() any { return new(plainUpdate) },
		},
	}, nil
}

func (c *statusCall) contenders() []contender {
	return []contender{
		{"this SDK", c.sdk},
		{floorName, c.floor(timeLimit)},
		{"go-retryablehttp", c.retryable()},
		{"resty v3", c.resty()},
		{"gophercloud", c.gophercloud()},
		{"net/http + encoding/json, no time limit", c.floor(0)},
	}
}

const (
	floorName = "net/http + encoding/json"
	timeLimit = 30 * time.Second
)

// transport returns an http.Transport with the SDK's settings, for all of them.
func transport() *http.Transport {
	t := cleanhttp.DefaultPooledTransport()
	t.MaxIdleConnsPerHost = 64
	return t
}

func (c *statusCall) floor(limit time.Duration) func(context.Context) error {
	client := &http.Client{Transport: transport(), Timeout: limit}
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url, http.NoBody)
		if err != nil {
			return err
		}
		for name, value := range c.header {
			req.Header.Set(name, value)
		}
		req.Header.Set("Accept", "application/json")
		resp, err := client.Do(req)
		return decode(resp, err, c.into())
	}
}

func (c *statusCall) retryable() func(context.Context) error {
	client := retryablehttp.NewClient()
	client.Logger = nil
	client.HTTPClient = &http.Client{Transport: transport(), Timeout: timeLimit}
	return func(ctx context.Context) error {
		req, err := retryablehttp.NewRequestWithContext(ctx, http.MethodGet, c.url, nil)
		if err != nil {
			return err
		}
		for name, value := range c.header {
			req.Header.Set(name, value)
		}
		req.Header.Set("Accept", "application/json")
		resp, err := client.Do(req)
		return decode(resp, err, c.into())
	}
}

func decode(resp *http.Response, err error, into any) error {
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %s", resp.Status)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	return json.Unmarshal(body, into)
}

func (c *statusCall) resty() func(context.Context) error {
	client := resty.NewWithClient(&http.Client{Transport: transport(), Timeout: timeLimit})
	return func(ctx context.Context) error {
		resp, err := client.R().SetContext(ctx).SetHeaders(c.header).SetHeader("Accept", "application/json").SetResult(c.into()).Get(c.url)
		if err == nil && resp.IsStatusFailure() {
			err = fmt.Errorf("status %s", resp.Status())
		}
		return err
	}
}

func (c *statusCall) gophercloud() func(context.Context) error {
	client := &gophercloud.ProviderClient{HTTPClient: http.Client{Transport: transport(), Timeout: timeLimit}}
	return func(ctx context.Context) error {
		resp, err := client.Request(ctx, http.MethodGet, c.url, &gophercloud.RequestOpts{
			MoreHeaders: c.header, JSONResponse: c.into(), OkCodes: []int{http.StatusOK},
		})
		if err == nil {
			err = resp.Body.Close()
		}
		return err
	}
}

// cpuTime returns the CPU time of this process, which other processes on a busy
// machine change less than the time on the clock.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // it has no way to fail
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func (l *lab) status() (*report, error) {
	rounds, calls := 15, "3000x"
	if l.quick {
		rounds, calls = 5, "1000x"
	}
	testing.Init()
	if err := flag.Set("test.benchtime", calls); err != nil {
		return nil, err
	}
	services, err := l.statusCalls()
	if err != nil {
		return nil, err
	}
	r := newReport("Status calls")
	r.add("One call after the other over loopback to a server in another process that responds with the documented sample. "+
		"%d rounds of %s in turn; medians. All have the SDK's settings of http.Transport and its time limit of 30 s; "+
		"the last row of each shows what that limit costs.", rounds, calls)
	rows := [][]string{{"call", "client", "CPU time, ratio", "time, ratio", "CPU µs/op", "µs/op", "B/op", "allocs/op"}}
	for _, s := range services {
		all := s.contenders()
		for _, c := range all { // open the connections
			if err := c.call(l.ctx); err != nil {
				return nil, fmt.Errorf("%s: %s: %w", s.name, c.name, err)
			}
		}
		nanos, ratios := make([][]float64, len(all)), make([][]float64, len(all))
		cpu, cpuRatios := make([][]float64, len(all)), make([][]float64, len(all))
		bytes, allocs := make([][]int64, len(all)), make([][]int64, len(all))
		for range rounds {
			for i, c := range all {
				var failed error
				before := cpuTime()
				found := testing.Benchmark(func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						if err := c.call(l.ctx); err != nil {
							failed = err
							b.FailNow()
						}
					}
				})
				if failed != nil {
					return nil, fmt.Errorf("%s: %s: %w", s.name, c.name, failed)
				}
				cpu[i] = append(cpu[i], float64((cpuTime()-before).Nanoseconds())/float64(found.N))
				nanos[i] = append(nanos[i], float64(found.T.Nanoseconds())/float64(found.N))
				bytes[i] = append(bytes[i], found.AllocedBytesPerOp())
				allocs[i] = append(allocs[i], found.AllocsPerOp())
			}
			for i := range all {
				last := len(nanos[i]) - 1
				ratios[i] = append(ratios[i], nanos[i][last]/nanos[1][last]) // of the same round
				cpuRatios[i] = append(cpuRatios[i], cpu[i][last]/cpu[1][last])
			}
		}
		var plot []bar
		for i, c := range all {
			rows = append(rows, []string{
				s.name, c.name, fmt.Sprintf("%.2f", median(cpuRatios[i])), fmt.Sprintf("%.2f", median(ratios[i])),
				fmt.Sprintf("%.1f", median(cpu[i])/1e3), fmt.Sprintf("%.1f", median(nanos[i])/1e3),
				fmt.Sprint(median(bytes[i])), fmt.Sprint(median(allocs[i])),
			})
			plot = append(plot, bar{c.name, float64(median(allocs[i])), i == 0})
		}
		r.plots["status-"+s.name] = bars(s.name+": allocations per call", "", plot)
	}
	r.table(rows)
	return r, nil
}
