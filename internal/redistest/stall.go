package redistest

import (
	"sort"
	"sync"
	"time"
)

// A busy machine lets everything run late: this process, the server, and whoever
// else takes part. What that adds to a bound is not the library's doing, and no
// fixed slack covers it. So it is measured: a goroutine that does nothing but
// sleep notes by how much it wakes too late.

// heartbeat is how long it sleeps at a time.
const heartbeat = 10 * time.Millisecond

// A stall is when the goroutine woke late, and how late it has woken in all.
type stall struct {
	at  time.Time
	sum time.Duration
}

var stalls struct {
	sync.Mutex
	list []stall
}

// WatchStalls notes stalls until stop is called, which waits for its goroutine.
func WatchStalls() (stop func()) {
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for before := time.Now(); ; {
			select {
			case <-end:
				return
			case <-time.After(heartbeat):
			}
			now := time.Now()
			noteStall(now, now.Sub(before)-heartbeat)
			before = now
		}
	}()
	return func() {
		close(end)
		<-ended
	}
}

func noteStall(at time.Time, late time.Duration) {
	if late < heartbeat/5 { // timers are no better than that
		return
	}
	stalls.Lock()
	defer stalls.Unlock()
	sum := late
	if n := len(stalls.list); n > 0 {
		sum += stalls.list[n-1].sum
	}
	stalls.list = append(stalls.list, stall{at, sum})
}

// Stalled is how long this process has been kept from running since start, as far
// as it has noticed. In a synctest bubble, whose clock shows another year, it is 0.
func Stalled(start time.Time) time.Duration {
	stalls.Lock()
	defer stalls.Unlock()
	list := stalls.list
	i := sort.Search(len(list), func(i int) bool { return list[i].at.After(start) })
	if i == len(list) || start.Before(list[0].at.Add(-24*time.Hour)) {
		return 0
	}
	sum := list[len(list)-1].sum
	if i > 0 {
		sum -= list[i-1].sum
	}
	return sum
}

// hops is how many times what a test waits for has to be run by one of those who
// take part before it is done, each of whom is kept waiting as this process is.
const hops = 4

// Allowance is what may be added to a bound for a machine that is busy: [Patience]
// in tests that measure nothing.
func Allowance(start time.Time) time.Duration {
	if !timed {
		return Patience
	}
	return hops * Stalled(start)
}
