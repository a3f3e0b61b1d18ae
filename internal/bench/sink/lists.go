package main

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// changes is how many of the listed jobs change from one list to the next.
const changes = 100

// listed are the jobs below /wait/<number of jobs>. None of them ends.
type listed struct {
	ids     []int // last changed first
	changed []time.Time
}

// list returns a list of jobs, of the service that the path names. The jobs that
// changed longest ago change with each first page.
func (s *sink) list(path, query string) string {
	n, err := strconv.Atoi(strings.Split(path, "/")[2])
	if err != nil {
		return err.Error()
	}
	params, err := url.ParseQuery(query)
	if err != nil {
		return err.Error()
	}
	offset, _ := strconv.Atoi(params.Get("offset")) // 0 if there is none
	limit := n
	if text := params.Get("limit"); text != "" {
		limit, _ = strconv.Atoi(text)
	}
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	jobs := s.lists[n]
	if jobs == nil {
		jobs = &listed{ids: make([]int, n), changed: make([]time.Time, n+1)}
		for i := range jobs.ids {
			jobs.ids[i], jobs.changed[i+1] = i+1, now
		}
		if s.lists == nil {
			s.lists = map[int]*listed{}
		}
		s.lists[n] = jobs
	} else if offset == 0 {
		unchanged := n - min(changes, n)
		jobs.ids = slices.Concat(jobs.ids[unchanged:], jobs.ids[:unchanged])
		for _, id := range jobs.ids[:n-unchanged] {
			jobs.changed[id] = now
		}
	}
	items := []string{}
	for _, id := range jobs.ids[min(offset, n):min(offset+limit, n)] {
		if strings.HasSuffix(path, "/jobs") {
			items = append(items, strings.NewReplacer(`"copy_progress":12`, fmt.Sprintf(`"copy_progress":%d`, jobs.changed[id].Unix()%100),
				"33911588-c299-4369-a240-7e5b741cdb6a", fmt.Sprintf("33911588-c299-4369-a240-%012d", id)).Replace(replicatorJob))
		} else {
			items = append(items, fmt.Sprintf(`{"machineimage":%s}`, strings.NewReplacer(`"lastModifiedDate":"2018-06-12T04:52:51.001Z"`,
				fmt.Sprintf(`"lastModifiedDate":%q`, jobs.changed[id].UTC().Format(time.RFC3339Nano))).Replace(status("/"+strconv.Itoa(id), "In Progress"))))
		}
	}
	all := strings.Join(items, ",")
	if strings.HasSuffix(path, "/jobs") {
		return "[" + all + "]"
	}
	return fmt.Sprintf(`{"hasMore":%t,"items":[%s]}`, offset+limit < n, all)
}
