package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A tally counts the events.
type tally struct {
	start    time.Time
	holds    []int // by worker
	gaveUp   int
	lost     int
	took     []time.Duration
	fence    int64 // of the last hold
	overlaps int   // holds that started while another worker held the lock
	backward int   // fencing tokens that were not greater than the previous one
}

func (t *tally) count(e event) {
	switch e.state {
	case gaveUp:
		t.gaveUp++
	case lost:
		t.lost++
	case holding:
		t.holds[e.worker-1]++
		if e.waited {
			t.took = append(t.took, e.took)
		}
		if e.overlap {
			t.overlaps++
		}
		if e.fence <= max(t.fence, e.prior) {
			t.backward++
		}
		t.fence = e.fence
	}
}

// summary prints the counts. It returns an error if two workers held the lock at once.
func (b *board) summary(lockState string) error {
	all := 0
	var each strings.Builder
	for i, n := range b.holds {
		all += n
		if i < maxRows {
			fmt.Fprintf(&each, "  %d:%d", i+1, n)
		} else if i == maxRows {
			each.WriteString("  …")
		}
	}
	fmt.Fprintf(b.out, "\n%d holds in %.1f s, %d waits timed out, %d holds lost\n", all, time.Since(b.start).Seconds(), b.gaveUp, b.lost)
	fmt.Fprintf(b.out, "by worker %s\n", each.String())
	if slices.Sort(b.took); len(b.took) > 0 {
		fmt.Fprintf(b.out, "%d hand-overs, in %s to %s, median %s\n", len(b.took), ms(b.took[0]), ms(b.took[len(b.took)-1]), ms(b.took[len(b.took)/2]))
	}
	fmt.Fprintln(b.out, lockState)
	if b.overlaps > 0 || b.backward > 0 {
		return fmt.Errorf("the lock did not exclude: two workers held it at once %d times, %d fences did not grow", b.overlaps, b.backward)
	}
	fmt.Fprintln(b.out, "no two workers held the lock at once, and the fences only grew")
	return nil
}
