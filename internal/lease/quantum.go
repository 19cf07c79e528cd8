package lease

import "time"

// A hand-over between processes takes about the time of a request, in which nobody
// holds the lock. A turn of several times that keeps it a small share of all.
const (
	tripsOfQuantum = 10
	longestQuantum = 20 * time.Millisecond
)

// took notes how long a request to Redis took. What two goroutines note at the same
// time may count as one.
func (k *Keeper) took(d time.Duration) {
	old := k.trip.Load()
	k.trip.Store(old + (int64(d)-old)/8)
}

// A turn is when a claim passes from lease to lease inside the process.
type turn struct {
	start         moment
	quantum, most time.Duration
	waiting       int64 // who waited here when it began
}

// turn is the turn of a claim that is granted now. Its quantum is as long as ten
// requests, and at least Quantum; at most 20 ms and a tenth of the TTL, so that the
// others need not wait long, and what is passed on has most of its window left.
func (k *Keeper) turn(ttl time.Duration, waiting int64, now time.Time) turn {
	most := max(Quantum, min(longestQuantum, ttl/10))
	quantum := max(Quantum, min(most, tripsOfQuantum*time.Duration(k.trip.Load())))
	return turn{momentOf(now), quantum, most, max(waiting, 1)}
}

// over reports whether other processes are next, after so many leases. A turn is
// made of rounds, in each of which all are let in who waited when it began. It ends
// with the round whose end is nearest to that of the quantum: if it ended within one, some
// would wait for one more turn of every other process than the rest. The first round
// is cut short if it takes too long for the others.
func (t turn) over(now time.Time, issued int64) bool {
	took := t.start.until(now)
	switch rounds := issued / t.waiting; {
	case issued%t.waiting != 0 && rounds > 0:
		return took >= t.most
	case rounds > 0:
		return took+took/time.Duration(2*rounds) >= t.quantum
	}
	return took >= t.quantum && took/time.Duration(max(issued, 1)) > t.most/time.Duration(t.waiting)
}
