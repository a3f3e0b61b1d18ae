package poll

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// task is one of many jobs.
type task struct {
	id       int
	status   string
	progress int
}

// service has many jobs, and lists those that are not hidden.
type service struct {
	tasks  map[int]*task
	hidden map[int]bool
	after  time.Duration
	events []event

	listErr func() error
	getErr  func(id int) error
	changes func() // before each list

	lists, gets int
	listed      []time.Time
	got         []int
}

// event changes the service at a time, seen by the next request.
type event struct {
	at     time.Time
	happen func()
}

func (s *service) in(after time.Duration, happen func()) {
	s.events = append(s.events, event{time.Now().Add(after), happen})
}

func (s *service) catchUp() {
	slices.SortStableFunc(s.events, func(a, b event) int { return a.at.Compare(b.at) })
	for len(s.events) > 0 && !time.Now().Before(s.events[0].at) {
		s.events[0].happen()
		s.events = s.events[1:]
	}
}

func newService(n int) *service {
	s := &service{tasks: map[int]*task{}, hidden: map[int]bool{}}
	for i := range n {
		s.tasks[i] = &task{id: i, status: "running"}
	}
	return s
}

// end ends jobs after a time.
func (s *service) end(ids []int, status string, after time.Duration) {
	s.in(after, func() {
		for _, id := range ids {
			s.tasks[id] = &task{id: id, status: status, progress: 100}
		}
	})
}

func (s *service) jobs(ids ...int) *Jobs[int, *task] {
	return &Jobs[int, *task]{
		Package: "tasks",
		Noun:    "task",
		IDs:     ids,
		List: func(ctx context.Context) ([]*task, bool, time.Duration, error) {
			s.catchUp()
			s.lists++
			s.listed = append(s.listed, time.Now())
			if ctx.Err() != nil {
				return nil, false, 0, transport.ContextErr(ctx)
			}
			if s.listErr != nil {
				if err := s.listErr(); err != nil {
					return nil, false, s.after, err
				}
			}
			if s.changes != nil {
				s.changes()
			}
			var list []*task
			for id, task := range s.tasks {
				if !s.hidden[id] {
					copied := *task
					list = append(list, &copied)
				}
			}
			return list, true, s.after, nil
		},
		Get: func(ctx context.Context, id int) (*task, time.Duration, error) {
			s.catchUp()
			s.gets++
			s.got = append(s.got, id)
			if ctx.Err() != nil {
				return nil, 0, transport.ContextErr(ctx)
			}
			if s.getErr != nil {
				if err := s.getErr(id); err != nil {
					return nil, 0, err
				}
			}
			task, ok := s.tasks[id]
			if !ok {
				return nil, 0, errNotFound
			}
			copied := *task
			return &copied, 0, nil
		},
		ID:     func(t *task) int { return t.id },
		Status: func(t *task) string { return t.status },
		Done:   func(t *task) bool { return t.status == "done" || t.status == "failed" },
		Failed: func(t *task) error {
			if t.status == "failed" {
				return fmt.Errorf("task %d: %w", t.id, errFailed)
			}
			return nil
		},
		Same: func(older, newer *task) bool { return *older == *newer },
	}
}

func numbers(from, to int) []int {
	var list []int
	for i := from; i < to; i++ {
		list = append(list, i)
	}
	return list
}

func memory() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
