package mutex_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// TestRWMutexFault injects the faults that a RWMutex must survive, each on a server
// of its own. They mostly wait, and so all run at the same time.
func TestRWMutexFault(t *testing.T) {
	t.Parallel()
	together(t, map[string]func(*testing.T){
		"Lost": rwLost, "Twice": rwTwice, "WordLost": rwNoticeLost, "Unsubscribed": rwUnsubscribed,
		"RestartForgets": rwRestartForgets, "KeyTaken": rwKeyTaken, "Inside": rwLocal,
	}, func(t *testing.T, fault func(*testing.T)) { fault(t) })
}

type locking = func(context.Context) (*mutex.Lease, error)

// rwKinds are the two ways to hold a RWMutex.
var rwKinds = map[string]func(m *mutex.RWMutex) (lock, try locking){
	"Writer": func(m *mutex.RWMutex) (lock, try locking) { return m.LockContext, m.TryLockContext },
	"Reader": func(m *mutex.RWMutex) (lock, try locking) { return m.RLockContext, m.TryRLockContext },
}

// rwLost loses one command or its answer: an acquire, a try, a
// release, a renewal. It costs time, and nothing else.
func rwLost(t *testing.T) {
	together(t, losses, func(t *testing.T, f loss) {
		together(t, rwKinds, func(t *testing.T, kind func(m *mutex.RWMutex) (lock, try locking)) {
			s := redistest.Start(t)
			p := redistest.NewProxy(t, s.Addr())
			rdb := p.Client(t, func(o *redis.Options) { o.ReadTimeout = silence })
			lock, try := kind(rwOf(rdb, ample))
			other := rwOf(s.Client(t), ample)
			unlock(t, wlock(t, other)) // the scripts are known
			lose := func() { f.lose(p) }

			lose()
			start := time.Now()
			l, err := lock(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			bounded(t, "to lock", start, f.wait+poll)
			if n := holdersOf(t, s); n != 1 {
				t.Errorf("there are %d holders", n)
			}
			unlock(t, l)

			lose()
			start = time.Now()
			if l, err := try(t.Context()); err == nil { // it has asked again
				unlock(t, l)
			} else if errors.Is(err, mutex.ErrLocked) {
				t.Errorf("a try that could not know: %v", err)
			}
			bounded(t, "to try", start, f.wait+poll)
			unlock(t, receive(t, "to lock what a try has left", other.LockChan(t.Context()), poll))

			if l, err = lock(t.Context()); err != nil {
				t.Fatal(err)
			}
			next := rwQueued(t, s, other.LockChan, 1)
			lose()
			start = time.Now()
			unlock(t, l) // and not ErrLost
			bounded(t, "to unlock", start, f.wait+poll)
			unlock(t, receive(t, "the hand-over", next, poll))

			const ttl = 2 * time.Second
			lock, _ = kind(rwOf(rdb, ttl))
			if l, err = lock(t.Context()); err != nil {
				t.Fatal(err)
			}
			lose()
			keeps(t, l, ttl+ttl/10)
			unlock(t, l)

			if n := f.fired(p.Faults()); n != 4 {
				t.Errorf("the fault took place %d times", n)
			}
			rwRests(t, s, 0)
		})
	})
}

// rwTwice runs each script twice: nothing is counted twice.
func rwTwice(t *testing.T) {
	s := redistest.Start(t)
	var fleet []*mutex.RWMutex
	for range 3 {
		rdb := s.Client(t)
		rdb.AddHook(hook(func(next redis.ProcessHook, ctx context.Context, cmd redis.Cmder) error {
			if err := next(ctx, cmd); err != nil {
				return err
			}
			return next(ctx, cmd.Clone())
		}))
		fleet = append(fleet, rwOf(rdb, time.Second))
	}
	HammerRWMutex(t, fleet, 0, 6, 30) // 0 leaves GOMAXPROCS as it is
	// A second copy may take what has just been released. Nobody hears of that, so
	// it ends by itself: for the next who comes.
	start := time.Now()
	unlock(t, wlock(t, rwOf(s.Client(t), time.Second)))
	bounded(t, "to lock what a copy has taken", start, time.Second+poll)
	rwRests(t, s, 0)
}

// rwNoticeLost drops the message that tells readers of a writer: their
// next renewal finds out.
func rwNoticeLost(t *testing.T) {
	const ttl = 4 * time.Second
	s := redistest.Start(t)
	p := redistest.NewProxy(t, s.Addr())
	a := rwOf(p.Client(t), ttl)
	first := rlock(t, a)
	<-time.After(30 * time.Millisecond) // more than a time slice
	unlock(t, rlock(t, a))              // makes sure that it hears
	redistest.Eventually(t, poll, func() bool { return s.Subscribers(t, "baton:*") == 1 }, "the readers listen")
	p.DropMessages(1)
	start := time.Now()
	next := rwQueued(t, s, rwOf(s.Client(t), ttl).LockChan, 1)
	redistest.Eventually(t, poll, func() bool { return p.Faults().MessagesDropped == 1 }, "the word is dropped")
	redistest.Eventually(t, ttl, func() bool {
		joined := a.TryRLock()
		if joined {
			a.RUnlock()
		}
		return !joined
	}, "no reader can join")
	bounded(t, "to keep new readers out", start, ttl/3+poll)
	unlock(t, first)
	unlock(t, receive(t, "the writer", next, 0))
	rwRests(t, s, poll)
}

// rwUnsubscribed breaks the subscription of readers, and a writer begins
// to wait meanwhile: the next subscription finds out.
func rwUnsubscribed(t *testing.T) {
	s := redistest.Start(t)
	p := redistest.NewProxy(t, s.Addr())
	a := rwOf(p.Client(t), time.Minute)
	first := rlock(t, a)
	<-time.After(30 * time.Millisecond) // more than a time slice
	unlock(t, rlock(t, a))
	redistest.Eventually(t, poll, func() bool { return s.Subscribers(t, "baton:*") == 1 }, "the readers listen")
	p.DropMessages(1)
	next := rwQueued(t, s, rwOf(s.Client(t), ample).LockChan, 1)
	redistest.Eventually(t, poll, func() bool { return p.Faults().MessagesDropped == 1 }, "the word is dropped")
	if p.DropSubscribers() != 1 {
		t.Error("no subscription was dropped")
	}
	redistest.Eventually(t, poll, func() bool {
		joined := a.TryRLock()
		if joined {
			a.RUnlock()
		}
		return !joined
	}, "no reader can join")
	unlock(t, first)
	unlock(t, receive(t, "the writer", next, 0))
	rwRests(t, s, poll)
}

// rwRestartForgets kills a server that keeps nothing: who is inside is
// told, who waits goes on, and fences grow though their counter is lost.
func rwRestartForgets(t *testing.T) {
	together(t, rwKinds, func(t *testing.T, kind func(m *mutex.RWMutex) (lock, try locking)) {
		const ttl = 4 * time.Second // renewed every third of it
		s := redistest.Start(t)
		lock, _ := kind(rwOf(s.Client(t), ttl))
		var leases []*mutex.Lease
		l, err := lock(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		leases = append(leases, l)
		if strings.HasSuffix(t.Name(), "Reader") { // they share what they hold, and what they lose
			leases = append(leases, rlock(t, rwOf(s.Client(t), ttl)))
		}
		next := rwQueued(t, s, rwOf(s.Client(t), ttl).LockChan, 1)
		s.Kill()
		if err := s.Restart(); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		var dones []<-chan struct{}
		for _, l := range leases {
			dones = append(dones, l.Done())
		}
		n := receive(t, "to go on waiting", next, poll)
		for i, l := range leases {
			loses(t, l, dones[i], start, ttl/3+poll)
			if n.Fence() <= l.Fence() {
				t.Errorf("fence %d after %d", n.Fence(), l.Fence())
			}
		}
		keeps(t, n, 100*time.Millisecond)
		if h := holdersOf(t, s); h != 1 {
			t.Errorf("there are %d holders", h)
		}
		unlock(t, n)
		rwRests(t, s, 0)
	})
}

// rwKeyTaken takes the key away under readers and writers: they are
// told at the next renewal, and touch nothing that is not their own.
func rwKeyTaken(t *testing.T) {
	together(t, map[string]func(*testing.T, *redistest.Server){
		"Deleted": func(t *testing.T, s *redistest.Server) { s.Do(t, "DEL", "key") },
		"Flushed": func(t *testing.T, s *redistest.Server) { s.Do(t, "FLUSHALL") },
		"Retyped": func(t *testing.T, s *redistest.Server) { s.Do(t, "SET", "key", "foreign") },
	}, func(t *testing.T, take func(*testing.T, *redistest.Server)) {
		together(t, rwKinds, func(t *testing.T, kind func(m *mutex.RWMutex) (lock, try locking)) {
			const ttl = 4 * time.Second
			s := redistest.Start(t)
			m := rwOf(s.Client(t), ttl)
			lock, _ := kind(m)
			l, err := lock(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			done := l.Done()
			take(t, s)
			dump := s.Do(t, "DUMP", "key")
			loses(t, l, done, time.Now(), ttl/3+poll)
			if now := s.Do(t, "DUMP", "key"); now != dump {
				t.Errorf("the key was %q and is %q", dump, now)
			}
			s.Do(t, "DEL", "key")
			next := receive(t, "to lock again", m.LockChan(t.Context()), poll)
			if next.Fence() <= l.Fence() {
				t.Errorf("fence %d after %d", next.Fence(), l.Fence())
			}
			unlock(t, next)
			rwRests(t, s, 0)
		})
	})
}

// rwLocal is the rule of those inside after a loss, on a real server:
// a reader loses its hold to a writer of another process, and a writer here waits
// for both.
func rwLocal(t *testing.T) {
	const ttl = 1500 * time.Millisecond // which a busy machine is not to use up
	s := redistest.Start(t)
	p := redistest.NewProxy(t, s.Addr())
	m := rwOf(p.Client(t), ttl)
	m.RLock()
	other := rwQueued(t, s, rwOf(s.Client(t), ample).LockChan, 1)
	second := make(chan struct{})
	go func() {
		m.Lock()
		close(second)
	}()
	p.Refuse(true)
	l := receive(t, "to get what was lost", other, ttl+poll)
	p.Refuse(false)
	waits := func() {
		t.Helper()
		select {
		case <-second:
			t.Fatal("a reader and a writer are inside one RWMutex")
		case <-time.After(ttl):
		}
	}
	waits()
	unlock(t, l)
	waits() // though Redis would give it the lock
	m.RUnlock()
	start := time.Now()
	<-second
	bounded(t, "the hand-over to the second", start, poll)
	m.Unlock()
	rwRests(t, s, poll)
}
