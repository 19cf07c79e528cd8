package main

import "time"

// A tally is the result of a job, or of one goroutine's share of it.
type tally struct {
	Holds    []int64 // by goroutine
	Late     int64   // holds granted after the end, not counted above
	Unserved int64   // goroutines that still waited after drainTimeout
	Failed   int64   // failed calls of lock or unlock
	Why      string  // the last error

	// A wait that has not ended counts with its time so far.
	Waits   hist
	Longest time.Duration

	Writes    int64 // of the writer in the rows readers
	WriteWait time.Duration

	CPU time.Duration // of the worker processes
}

func merged(tallies []tally) *tally {
	all := new(tally)
	for i := range tallies {
		all.merge(&tallies[i])
	}
	return all
}

func (t *tally) merge(other *tally) {
	t.Holds = append(t.Holds, other.Holds...)
	t.Late += other.Late
	t.Unserved += other.Unserved
	t.Failed += other.Failed
	if other.Why != "" {
		t.Why = other.Why
	}
	t.Waits.merge(&other.Waits)
	t.Longest = max(t.Longest, other.Longest)
	t.CPU += other.CPU
	t.Writes += other.Writes
	t.WriteWait += other.WriteWait
}

func (t *tally) waited(d time.Duration) {
	t.Waits.add(d)
	t.Longest = max(t.Longest, d)
}

func (t *tally) fail(err error) {
	t.Failed++
	t.Why = err.Error()
}

// holds returns the number of holds within the duration.
func (t *tally) holds() (n int64) {
	for _, x := range t.Holds {
		n += x
	}
	return n
}
