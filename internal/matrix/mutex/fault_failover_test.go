package mutex_test

import (
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/matrix/kit"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// TestFaultSentinels fails over to a replica that lacks a release and the next acquire (row 6), so the
// old hold exists again. The second holder's loss is reported. The waiter gets the lock when the old
// hold has expired, and fences grow.
func TestFaultSentinels(t *testing.T) {
	t.Parallel()
	const old, ttl = 5 * time.Second, 1500 * time.Millisecond
	s := redistest.StartSentinels(t)
	first := lock(t, mutexOf(s.Client(t), old))
	token := owner(t, s.Master)
	var second *mutex.Lease
	var next <-chan mutex.Result
	b, c, other := mutexOf(s.Client(t), ttl), mutexOf(s.Client(t), ttl), mutex.New(s.Client(t), "other")
	s.FailOver(t, func() {
		unlock(t, first)
		second = lock(t, b)
		next = enqueue(t, s.Master, c, 1)
	})
	start := time.Now()
	if got := owner(t, s.Replica); got != token {
		t.Fatalf("the failover has lost no write: the owner is %v", got)
	}
	locked := make(chan struct{})
	go func() {
		defer close(locked)
		other.Lock() // in sync's style, while there is no master
	}()
	expectLoss(t, second, second.Done(), start, ttl)
	s.Promoted(t)
	start = time.Now()
	<-locked
	checkBound(t, "to lock when there is a master", start, time.Second+poll)
	other.Unlock()
	third := receive(t, "to acquire the lock after the old hold", next, old+poll)
	kit.ExpectFencesGrow(t, first, second, third)
	expectKept(t, third, ttl)
	last := enqueue(t, s.Replica, b, 1)
	unlock(t, third)
	unlock(t, receive(t, "the hand-over by the new master", last, 0))
	expectNothingLeft(t, s.Replica, 0)
}
