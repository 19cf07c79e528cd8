package mutex_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// TestFaultKeyTaken takes the key away under a holder (rows 13 and 14): it is
// told at its next renewal, and touches nothing that is not its own.
func TestFaultKeyTaken(t *testing.T) {
	t.Parallel()
	together(t, map[string]func(*testing.T, *redistest.Server){
		"Deleted": func(t *testing.T, s *redistest.Server) { s.Do(t, "DEL", "key") },
		"Flushed": func(t *testing.T, s *redistest.Server) { s.Do(t, "FLUSHALL") },
		"Evicted": func(t *testing.T, s *redistest.Server) {
			s.Do(t, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
			s.Do(t, "CONFIG", "SET", "maxmemory", 1) // evicts at once
			s.Do(t, "CONFIG", "SET", "maxmemory", 0)
			if owner(t, s) != nil {
				t.Error("the key was not evicted")
			}
		},
		"Overwritten": func(t *testing.T, s *redistest.Server) { s.Do(t, "SET", "key", "foreign") },
		"Retyped": func(t *testing.T, s *redistest.Server) {
			s.Do(t, "DEL", "key")
			s.Do(t, "LPUSH", "key", "foreign")
		},
	}, func(t *testing.T, take func(*testing.T, *redistest.Server)) {
		const ttl = 1500 * time.Millisecond // renewed every third of it
		s := redistest.Start(t)
		m := mutexOf(s.Client(t), ttl)
		l := lock(t, m)
		done := l.Done()
		take(t, s)
		dump := s.Do(t, "DUMP", "key")
		loses(t, l, done, time.Now(), ttl/3)
		if now := s.Do(t, "DUMP", "key"); now != dump {
			t.Errorf("the key was %q and is %q", dump, now)
		}
		s.Do(t, "DEL", "key")
		next := lockWithin(t, "to lock again", m, 0)
		if next.Fence() <= l.Fence() {
			t.Errorf("fence %d after %d", next.Fence(), l.Fence())
		}
		unlock(t, next)
		rests(t, s, 0)
	})
}

// TestFaultQueueTaken flushes what waiters rely on (row 14): they are back in
// the queue by their next request.
func TestFaultQueueTaken(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	unlock(t, lock(t, mutexOf(s.Client(t), time.Second)))
	s.Do(t, "SET", "key", "foreign")
	next := queued(t, s, mutexOf(s.Client(t), time.Second), 1)
	s.Do(t, "FLUSHALL")
	unlock(t, receive(t, "to find the key free", next, poll))
	rests(t, s, 0)
}

// TestFaultWrongType finds another type where a string is to be (row 15), in the
// key or in one of the library's own: that is said at once and written nowhere.
func TestFaultWrongType(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	rdb := s.Client(t)
	for _, key := range []string{"key", "baton:{key}:queue", "baton:{key}:waiters", "baton:{key}:fence"} {
		s.Do(t, "FLUSHALL")
		s.Do(t, "LPUSH", key, "foreign")
		if strings.HasSuffix(key, "waiters") { // which are looked at only if somebody waits
			s.Do(t, "ZADD", "baton:{key}:queue", 1, "waiter")
		}
		keys := fmt.Sprint(s.Keys(t))
		m := mutexOf(rdb, time.Second)
		refused := func(err error) {
			t.Helper()
			if err == nil || !strings.Contains(err.Error(), "WRONGTYPE") || !strings.Contains(err.Error(), `"key"`) || errors.Is(err, mutex.ErrLocked) {
				t.Errorf("%s is a list: the error is %v", key, err)
			}
		}
		start := time.Now()
		l, err := m.LockContext(t.Context())
		if refused(err); l != nil {
			t.Error("there is a lease and an error")
		}
		_, err = m.TryLockContext(t.Context())
		refused(err)
		refused((<-m.LockChan(t.Context())).Err)
		mustPanic(t, "WRONGTYPE", m.Lock)
		mustPanic(t, "WRONGTYPE", func() { m.TryLock() })
		bounded(t, "to refuse five times", start, 0)
		if got := fmt.Sprint(s.Keys(t)); got != keys {
			t.Errorf("the keys were %s and are %s", keys, got)
		}
	}
}

// TestFaultWrongTypeAwaited overwrites the key while somebody waits for it: the
// next poll tells (row 15).
func TestFaultWrongTypeAwaited(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	s.Do(t, "SET", "key", "foreign")
	next := queued(t, s, mutexOf(s.Client(t), time.Second), 1)
	s.Do(t, "DEL", "key")
	s.Do(t, "LPUSH", "key", "foreign")
	start := time.Now()
	if r := <-next; r.Err == nil || !strings.Contains(r.Err.Error(), "WRONGTYPE") {
		t.Errorf("got %v", r)
	}
	bounded(t, "to be told of the wrong type", start, poll)
}

// TestFaultScriptFlush makes the server forget the scripts (row 16): each costs
// one more request, once.
func TestFaultScriptFlush(t *testing.T) {
	t.Parallel()
	const ttl = time.Second
	s := redistest.Start(t)
	m := mutexOf(s.Client(t), ttl)
	unlock(t, lock(t, m))
	before := s.Stats(t)
	s.Do(t, "SCRIPT", "FLUSH")
	l := lock(t, m)
	s.Do(t, "SCRIPT", "FLUSH")
	keeps(t, l, ttl+ttl/4)
	next := queued(t, s, mutexOf(s.Client(t), ttl), 1)
	s.Do(t, "SCRIPT", "FLUSH")
	unlock(t, l)
	unlock(t, receive(t, "the hand-over", next, 0))
	if calls := s.Stats(t).Since(before).Calls; calls["eval"] != 4 { // acquire twice, renew, release
		t.Errorf("%d scripts were sent whole", calls["eval"])
	}
	rests(t, s, 0)
}

// TestFaultClockSetBack is what is left of a holder that died before the
// server's clock was set back by an hour (row 20): a TTL longer than its own.
// Who waits sees to it that it ends in time.
func TestFaultClockSetBack(t *testing.T) {
	t.Parallel()
	const ttl = time.Second
	s := redistest.Start(t)
	dead := redistest.NewProxy(t, s.Addr())
	lock(t, mutexOf(dead.Client(t), ttl))
	dead.Refuse(true)
	s.Do(t, "PEXPIRE", "key", time.Hour.Milliseconds())
	unlock(t, lockWithin(t, "to wait for the dead", mutexOf(s.Client(t), ample), ttl))
	rests(t, s, ttl)
}

// TestFaultSeenInFuture is about a waiter that was last seen before the server's
// clock was set back (row 20): it is alive.
func TestFaultSeenInFuture(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	l := lock(t, mutexOf(s.Client(t), time.Second))
	next := queued(t, s, mutexOf(s.Client(t), time.Second), 1)
	const later = `local e = redis.call('HGETALL', KEYS[1])
		return redis.call('HSET', KEYS[1], e[1], (string.gsub(e[2], '^%d+', function(ms) return string.format('%.0f', ms + 3600000) end)))`
	s.Do(t, "EVAL", later, 1, "baton:{key}:waiters")
	unlock(t, l)
	unlock(t, receive(t, "the hand-over", next, 0))
	rests(t, s, 0)
}
