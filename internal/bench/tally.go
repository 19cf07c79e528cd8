package main

import (
	"math/bits"
	"time"
)

// A tally is the result of a job, or of one goroutine's share of it.
type tally struct {
	Holds    []int64 // by goroutine
	Late     int64   // holds granted after the end, not counted above
	Unserved int64   // goroutines that still waited after drainTimeout
	Failed   int64   // failed calls of lock or unlock
	Why      string  // the last error

	Waits hist // a wait that has not ended counts with its time so far

	Writes    int64 // of the writer in the rows readers
	WriteWait time.Duration

	CPU time.Duration // of the worker processes
}

func merged(tallies []tally) *tally {
	all := new(tally)
	for _, t := range tallies {
		all.Holds = append(all.Holds, t.Holds...)
		all.Late += t.Late
		all.Unserved += t.Unserved
		all.Failed += t.Failed
		if t.Why != "" {
			all.Why = t.Why
		}
		for i, n := range t.Waits {
			all.Waits[i] += n
		}
		all.Writes += t.Writes
		all.WriteWait += t.WriteWait
		all.CPU += t.CPU
	}
	return all
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

// hist counts durations in buckets that are at most 3 % wide, so a sample costs one increment and
// a process's samples fit in one line of JSON. The index of a bucket is the six leading bits of the
// nanoseconds, and the number of bits that follow.
type hist [40 * 32]int64

func (h *hist) add(d time.Duration) {
	n := uint64(max(d, 0))
	shift := max(bits.Len64(n)-6, 0)
	h[min(shift*32+int(n>>shift), len(h)-1)]++
}

// quantile returns the middle of the bucket that contains quantile q; 1 is the longest duration.
func (h *hist) quantile(q float64) time.Duration {
	var total int64
	for _, n := range h {
		total += n
	}
	rest := int64(q * float64(total-1))
	for i, n := range h {
		if rest -= n; rest < 0 {
			shift := max(i/32-1, 0)
			return time.Duration((i-shift*32)<<shift + 1<<shift/2)
		}
	}
	return 0
}
