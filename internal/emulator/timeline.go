package emulator

import "time"

// Step is one state of a job and how long the job stays in it.
type Step[S any] struct {
	State S
	For   time.Duration
}

// In returns the step of staying in a state for d.
func In[S any](state S, d time.Duration) Step[S] {
	return Step[S]{State: state, For: d}
}

// Timeline is the sequence of a job's states. The job never leaves the last
// one, whatever its For.
type Timeline[S any] []Step[S]

// At returns the state of a job that has run for ran, and when, counted from
// the job's start, it entered that state. It panics if the timeline is empty.
func (t Timeline[S]) At(ran time.Duration) (state S, since time.Duration) {
	last := len(t) - 1
	for _, step := range t[:last] {
		if ran < since+step.For {
			return step.State, since
		}
		since += step.For
	}
	return t[last].State, since
}

// Percent returns how much of total has passed, from 0 to 100.
func Percent(passed, total time.Duration) int {
	if total <= 0 || passed >= total {
		return 100
	}
	return int(100 * max(passed, 0) / total)
}
