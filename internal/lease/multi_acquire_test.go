package lease

import (
	"fmt"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/result"
)

// TestMultiLeaseTakesOneRoundTrip locks free keys. Up to maxConcurrent requests are in flight at the
// same time, and as many releases.
func TestMultiLeaseTakesOneRoundTrip(t *testing.T) {
	inBubble(t, func(e *env) {
		m, s := e.process()
		const trip = time.Millisecond
		s.latency = func() time.Duration { return trip / 2 }
		for n, trips := range map[int]time.Duration{2: 1, maxConcurrent: 1, 2*maxConcurrent + 1: 3} {
			keys := keysNumbered(n)
			p := params(time.Hour)
			for _, p.Try = range []bool{false, true} {
				before, start := e.redis.requests, time.Now()
				ml := e.acquireKeys(m, p, keys...)
				equal(e, fmt.Sprint("the time to lock ", n), time.Since(start), trips*trip)
				equal(e, "requests", e.redis.requests-before, n)
				start = time.Now()
				e.checkError("Release", ml.Release())
				equal(e, fmt.Sprint("the time to unlock ", n), time.Since(start), trips*trip)
			}
		}
	})
}

// TestMultiLeaseWaitsWithoutLaterKeys waits for a key. It holds the keys before that, and none behind.
func TestMultiLeaseWaitsWithoutLaterKeys(t *testing.T) {
	inBubble(t, func(e *env) {
		m1, _, m2, _ := e.twoProcesses()
		p := params(time.Minute)
		p.Key = "b"
		held := e.acquire(m1, p)
		ml, results := new(MultiLease), result.NewChan(result.ErrorOnly{})
		ml.AcquireChan(e.Context(), m2, p, []string{"a", "b", "c"}, results)
		time.Sleep(time.Second)
		for key, want := range map[string]int64{"a": 1, "c": 0} {
			e.checkUsedAt(Name{Kind: Mutex, Key: key}, want)
		}
		held.Release()
		e.checkGranted("the lease of all keys", results.C(), ms)
		ml.Release()
	})
}

// TestMultiLeaseRemaining checks that Remaining falls, rises with a renewal, and is that of the key whose
// hold ends first.
func TestMultiLeaseRemaining(t *testing.T) {
	inBubble(t, func(e *env) {
		m, _ := e.process()
		p := params(9 * time.Second)
		ml := e.acquireKeys(m, p, "a", "b")
		whole := ml.Remaining()
		time.Sleep(2 * time.Second)
		fallen := ml.Remaining()
		time.Sleep(p.TTL/3 - 2*time.Second + 10*ms)
		if risen := ml.Remaining(); whole-fallen != 2*time.Second || risen < whole-20*ms {
			e.Errorf("%v remain, %v after two seconds, %v after a renewal", whole, fallen, risen)
		}
		ml.leases[1].Release()
		if left := ml.Remaining(); left != 0 || ml.leases[0].Remaining() == 0 {
			e.Errorf("one of the keys is released, and %v remain", left)
		}
		ml.Release()
	})
}
