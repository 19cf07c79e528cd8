package redistest

import (
	"sync"
	"time"
)

// On a busy machine all processes run late: the test, the server and the workers. This delay is not
// the library's, and no fixed slack covers it. So it is measured: a goroutine sleeps repeatedly and
// records how late it wakes.

// heartbeat is the length of one sleep.
const heartbeat = 10 * time.Millisecond

// A stall is a late wake-up.
type stall struct {
	at   time.Time
	late time.Duration
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
	stalls.list = append(stalls.list, stall{at, late})
}

// Stalled returns the sum of the recorded stalls of this process since start. In a synctest bubble,
// whose clock is in another year, it is 0.
func Stalled(start time.Time) (sum time.Duration) {
	stalls.Lock()
	defer stalls.Unlock()
	for i := len(stalls.list) - 1; i >= 0 && stalls.list[i].at.After(start); i-- {
		sum += stalls.list[i].late
	}
	if sum > 0 && start.Before(stalls.list[0].at.Add(-24*time.Hour)) {
		return 0
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
