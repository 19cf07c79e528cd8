package lease

import (
	"testing"
	"time"
)

// TestQuantum: a turn follows what requests take, between its bounds.
func TestQuantum(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct{ trip, ttl, want time.Duration }{
		{0, 10 * time.Second, ms},
		{50 * time.Microsecond, 10 * time.Second, ms},
		{500 * time.Microsecond, 10 * time.Second, 5 * ms},
		{time.Second, 10 * time.Second, 20 * ms},
		{time.Second, 100 * ms, 10 * ms},
		{time.Second, MinTTL, ms},
	} {
		k := NewKeeper(newFakeStore(newFakeRedis()))
		for range 100 {
			k.took(c.trip)
		}
		if got := k.quantum(c.ttl); got > c.want || got < c.want*9/10 {
			t.Errorf("with requests of %v and a TTL of %v it is %v, want %v", c.trip, c.ttl, got, c.want)
		}
	}
}

// TestQuantumMeasured: it is requests that a turn follows.
func TestQuantumMeasured(t *testing.T) {
	inBubble(t, func(b *bench) {
		k, s := b.process()
		s.change(func() { s.latency = func() time.Duration { return time.Millisecond } })
		for range 50 {
			b.acquire(k, 10*time.Second).Release()
		}
		if got := k.quantum(10 * time.Second); got < 19*time.Millisecond {
			b.Errorf("where a request takes 2 ms, there and back, a quantum is %v", got)
		}
	})
}
