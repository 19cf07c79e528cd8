package main

// A count is how far the jobs are.
type count struct {
	done    int   // have a result
	waiting int   // are on the list
	hands   []int // are in the hand of each worker; these are counted from 1
}

// busiest returns the worker that has most in hand, 0 if none has anything.
func (c count) busiest() (worker int) {
	for n, jobs := range c.hands {
		if jobs > c.hands[worker] {
			worker = n
		}
	}
	return worker
}
