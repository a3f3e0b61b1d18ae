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

// Timeline is the way of a job through its states. The job never leaves the last one, whatever its For.
type Timeline[S any] []Step[S]

// At returns the state after a job has run for ran, and when, counted from the job's start, it came into that state.
// It panics on an empty timeline.
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

// Percent is how much of total has passed, from 0 to 100.
func Percent(passed, total time.Duration) int {
	if total <= 0 || passed >= total {
		return 100
	}
	return int(100 * max(passed, 0) / total)
}
