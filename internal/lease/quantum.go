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

// quantum is the length of a turn of a process: as long as ten requests, and at
// least Quantum; at most 20 ms and a tenth of the TTL, so that the others need not
// wait long, and what is passed on has most of its window left.
func (k *Keeper) quantum(ttl time.Duration) time.Duration {
	most := min(longestQuantum, ttl/10)
	return max(Quantum, min(most, tripsOfQuantum*time.Duration(k.trip.Load())))
}
