package main

import "maps"

// A tally is what the workers have said.
type tally struct {
	alive int           // workers
	holds map[int64]int // on permits, and whose they are
	jobs  map[int64]int // at work: the hold that each has, and whose it is
	begun int           // jobs
	done  int
	lost  map[int64]bool // the holds that were lost
	past  []event
}

func newTally(workers int) tally {
	return tally{alive: workers, holds: map[int64]int{}, jobs: map[int64]int{}, lost: map[int64]bool{}}
}

func (t *tally) count(e event) {
	t.past = append(t.past, e)
	switch e.deed {
	case takes:
		t.holds[e.hold] = e.worker
	case begins:
		t.begun++
		t.jobs[e.hold] = e.worker
	case ends:
		t.done++
		delete(t.jobs, e.hold)
	case breaks:
		delete(t.jobs, e.hold)
	case died:
		t.alive--
		e.end(t.jobs)
	case lost:
		t.lost[e.hold] = true
	}
	e.end(t.holds)
}

// end takes out what the event ends.
func (e event) end(holds map[int64]int) {
	switch e.deed {
	case gives:
		delete(holds, e.hold)
	case died: // with all it had
		maps.DeleteFunc(holds, func(_ int64, worker int) bool { return worker == e.worker })
	}
}

// held returns how many permits the worker has in use.
func (t *tally) held(worker int) (n int) {
	for _, owner := range t.holds {
		if owner == worker {
			n++
		}
	}
	return n
}

// most returns how many permits were in use at once. It does not count those that
// were lost meanwhile: their worker found out too late to tell since when, as it
// was paused or starved.
func (t *tally) most() (most int) {
	holds := map[int64]int{}
	for _, e := range t.past {
		if e.deed == takes && !t.lost[e.hold] {
			holds[e.hold] = e.worker
			most = max(most, len(holds))
		}
		e.end(holds)
	}
	return most
}
