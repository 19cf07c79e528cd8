package mutex_test

import (
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// TestFaultInside has two goroutines share one Mutex, the first of which loses
// the lock to another process while it is inside. The second waits for its
// Unlock, which panics not and touches nobody's hold.
func TestFaultInside(t *testing.T) {
	t.Parallel()
	const ttl = 500 * time.Millisecond
	s := redistest.Start(t)
	p := redistest.NewProxy(t, s.Addr())
	m := mutexOf(p.Client(t), ttl)
	m.Lock()
	other := queued(t, s, mutexOf(s.Client(t), ample), 1)
	second := make(chan struct{})
	go func() {
		m.Lock()
		close(second)
	}()
	p.Refuse(true)
	l := receive(t, "to get what was lost", other, ttl)
	p.Refuse(false)
	waits := func(d time.Duration) {
		t.Helper()
		select {
		case <-second:
			t.Fatal("two goroutines are inside one Mutex")
		case <-time.After(d):
		}
	}
	waits(ttl)
	if m.TryLock() {
		t.Error("TryLock gets inside where one is")
	}
	unlock(t, l)
	waits(ttl) // though Redis would give it the lock

	l = lockWithin(t, "to get what nobody can use", mutexOf(s.Client(t), ample), ttl)
	token := owner(t, s)
	m.Unlock()
	if got := owner(t, s); got != token {
		t.Errorf("Unlock after a loss has changed the owner from %v to %v", token, got)
	}
	waits(ttl) // l is another process's
	unlock(t, l)
	start := time.Now()
	<-second
	bounded(t, "the hand-over to the second", start, poll)
	if p.Faults().Refused == 0 {
		t.Error("nothing was refused")
	}
	m.Unlock()
	mustPanic(t, "unlock of unlocked mutex", m.Unlock)
	rests(t, s, poll)
}
