package redistest

import (
	"sort"
	"sync"
	"time"
)

// On a busy machine all processes run late: the test, the server and the workers. This delay is not
// the library's, and no fixed slack covers it. So it is measured: a goroutine sleeps repeatedly and
// records how late it wakes.

// heartbeat is the length of one sleep.
const heartbeat = 10 * time.Millisecond

// A stall is a late wake-up: its time, and the sum of all delays so far.
type stall struct {
	at  time.Time
	sum time.Duration
}

var stalls struct {
	sync.Mutex
	list []stall
}

// WatchStalls records stalls until stop is called. stop waits for the goroutine.
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
			addStall(now, now.Sub(before)-heartbeat)
			before = now
		}
	}()
	return func() {
		close(end)
		<-ended
	}
}

func addStall(at time.Time, late time.Duration) {
	if late < heartbeat/5 { // the precision of timers
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

// Stalled returns the sum of the recorded stalls of this process since start. In a synctest bubble,
// whose clock is in another year, it is 0.
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

// hops is how many times one of the processes must run before an awaited effect happens. Each of
// these runs may be as late as this process.
const hops = 4

// Allowance returns the time to add to a bound for a busy machine: [Patience] in tests that do not
// measure.
func Allowance(start time.Time) time.Duration {
	if !timed {
		return Patience
	}
	return hops * Stalled(start)
}
