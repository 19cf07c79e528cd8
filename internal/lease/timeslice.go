package lease

import "time"

// A hand-over between processes takes about the time of a request, in which nobody
// holds the lock. A slice of several times that keeps it a small share of all.
const (
	roundTripsPerSlice = 10
	maxSlice           = 20 * time.Millisecond
)

// A timeSlice is when a claim passes from lease to lease inside the process.
type timeSlice struct {
	start             monoTime
	length, maxLength time.Duration
	waiters           int64 // leases that waited here when it began
}

// newTimeSlice returns the slice of a claim that is granted now. It is as long as ten requests, and
// at least MinSlice. It is at most 20 ms and a tenth of the TTL, so that other processes need not
// wait long, and most of the window is left for the next lease.
func (m *Manager) newTimeSlice(ttl time.Duration, waiters int64, now time.Time) timeSlice {
	maxLength := max(MinSlice, min(maxSlice, ttl/10))
	length := max(MinSlice, min(maxLength, roundTripsPerSlice*time.Duration(m.rtt.Load())))
	return timeSlice{monoTimeOf(now), length, maxLength, max(waiters, 1)}
}

// exhausted reports whether other processes are next, after so many leases. A slice consists of
// rounds; in each of them, all leases that waited when the slice began get the lock. The slice ends
// with the round whose end is nearest to its length: otherwise some would wait for one more slice of
// every other process than the rest. The first round is cut short if it takes too long for the
// others.
func (s timeSlice) exhausted(now time.Time, fencesUsed int64) bool {
	elapsed := s.start.elapsed(now)
	switch rounds := fencesUsed / s.waiters; {
	case fencesUsed%s.waiters != 0 && rounds > 0:
		return elapsed >= s.maxLength
	case rounds > 0:
		return elapsed+elapsed/time.Duration(2*rounds) >= s.length
	}
	return elapsed >= s.length && elapsed/time.Duration(max(fencesUsed, 1)) > s.maxLength/time.Duration(s.waiters)
}

// A monoTime is a time on this process's monotonic clock, in a third of the space.
type monoTime time.Duration

var monoEpoch = time.Now()

func monoTimeOf(t time.Time) monoTime { return monoTime(t.Sub(monoEpoch)) }

func (m monoTime) elapsed(t time.Time) time.Duration { return t.Sub(monoEpoch) - time.Duration(m) }
