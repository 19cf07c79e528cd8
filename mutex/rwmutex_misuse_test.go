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

// refusesAll checks that each way to lock m fails at once with an error, or a
// panic, that contains why.
func refusesAll(t *testing.T, m *mutex.RWMutex, why string) {
	t.Helper()
	refused := func(l *mutex.Lease, err error) {
		t.Helper()
		if l != nil || err == nil || !strings.HasPrefix(err.Error(), "baton: ") || !strings.Contains(err.Error(), why) || errors.Is(err, mutex.ErrLocked) {
			t.Errorf("%s: got %v, %v", why, l, err)
		}
	}
	received := func(r mutex.Result) { t.Helper(); refused(r.Lease, r.Err) }
	refused(m.LockContext(t.Context()))
	refused(m.RLockContext(t.Context()))
	refused(m.TryLockContext(t.Context()))
	refused(m.TryRLockContext(t.Context()))
	received(<-m.LockChan(t.Context()))
	received(<-m.RLockChan(t.Context()))
	mustPanic(t, why, m.Lock)
	mustPanic(t, why, m.RLock)
	mustPanic(t, why, m.RLocker().Lock)
	mustPanic(t, why, func() { m.TryLock() })
	mustPanic(t, why, func() { m.TryRLock() })
	mustPanic(t, "Unlock of unlocked RWMutex", m.Unlock)
	mustPanic(t, "RUnlock of unlocked RWMutex", m.RUnlock)
}

// TestRWMutexTTLBounds uses TTLs that look odd and work.
func TestRWMutexTTLBounds(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	rdb := s.Client(t)
	for ttl, want := range map[time.Duration]string{ // as the token states it, in ms
		1234567890 * time.Nanosecond: "1234", // cut to whole milliseconds
		24 * 365 * time.Hour:         "31536000000",
		1<<63 - 1:                    "9223372036854",
	} {
		for _, lock := range []func(*testing.T, *mutex.RWMutex) *mutex.Lease{wlock, rlock} {
			l := lock(t, rwOf(rdb, ttl))
			if fields := fmt.Sprint(s.Do(t, "HKEYS", "key")); !strings.Contains(fields, "baton:"+want+":") {
				t.Errorf("a TTL of %v makes %s", ttl, fields)
			}
			if _, err := rwOf(s.Client(t), ample).TryLockContext(t.Context()); !errors.Is(err, mutex.ErrLocked) {
				t.Errorf("with a TTL of %v it does not exclude: %v", ttl, err)
			}
			unlock(t, l)
		}
	}
	// The least: on a busy machine it may be lost, or end before Redis has confirmed
	// that it was unlocked.
	if err := rlock(t, rwOf(rdb, 10*time.Millisecond)).Unlock(); err != nil {
		t.Log(err)
		unlock(t, rlock(t, rwOf(rdb, ample))) // what was lost goes with the next hold
	}
	rwRests(t, s, 0)
}

// TestRWMutexOtherType finds something else where its hash is to be, also a Mutex,
// and is something else to a Mutex: that is said at once, and nothing is touched.
func TestRWMutexOtherType(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	rdb := s.Client(t)
	m, plain := mutex.NewRW(rdb, "key"), mutex.New(rdb, "key")
	for what, put := range map[string]func(){
		"a Mutex, held": func() {
			l := lock(t, mutex.New(s.Client(t), "key"))
			t.Cleanup(func() { _ = l.Unlock() }) // it has been flushed away by then
		},
		"a string":     func() { s.Do(t, "SET", "key", "x") },
		"a list":       func() { s.Do(t, "LPUSH", "key", "x") },
		"a hash":       func() { s.Do(t, "HSET", "key", "name", "value") },
		"an odd state": func() { s.Do(t, "HSET", "key", "state", "value") },
		"a semaphore":  func() { s.Do(t, "HSET", "key", "state", "s 3 3 0 0 1 3900000 1") },
		"its holders":  func() { s.Do(t, "LPUSH", "baton:{key}:holders", "x") },
		"its queue":    func() { s.Do(t, "LPUSH", "baton:{key}:queue", "x") },
		"its waiters":  func() { s.Do(t, "LPUSH", "baton:{key}:waiters", "x") },
	} {
		t.Run(what, func(t *testing.T) {
			s.Do(t, "FLUSHALL")
			put()
			keys := fmt.Sprint(s.Keys(t))
			dump := s.Do(t, "DUMP", "key")
			refusesAll(t, m, "WRONGTYPE")
			if got := fmt.Sprint(s.Keys(t)); got != keys {
				t.Errorf("the keys were %s and are %s", keys, got)
			}
			if got := s.Do(t, "DUMP", "key"); got != dump {
				t.Errorf("the key was %q and is %q", dump, got)
			}
		})
	}

	s.Do(t, "FLUSHALL")
	for _, lock := range []func(*testing.T, *mutex.RWMutex) *mutex.Lease{wlock, rlock} {
		l := lock(t, m)
		refused := func(err error) {
			t.Helper()
			if err == nil || !strings.Contains(err.Error(), "WRONGTYPE") || !strings.Contains(err.Error(), `"key"`) {
				t.Errorf("a Mutex on the key of a RWMutex: %v", err)
			}
		}
		_, err := plain.LockContext(t.Context())
		refused(err)
		_, err = plain.TryLockContext(t.Context())
		refused(err)
		refused((<-plain.LockChan(t.Context())).Err)
		unlock(t, l)
	}
	rwRests(t, s, 0)
}

// TestRWMutexKeys locks keys with all kinds of names: each works, is handed over,
// and excludes no other.
func TestRWMutexKeys(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a, b := s.Client(t), s.Client(t)
	keys := []string{
		"{}", "}x", "a}b", "{", "}", "{tag}", "x{tag}y", "{}{tag}", "{{x}}", "tag", " ", "a b", "a\nb", "\x00", "a\x00b", "\xff\xfe", "\r\n",
		"baton:x", "key:holders", "state", "1 2 3 4 5 6 7 8 9", "%s%d", strings.Repeat("k", 1<<16),
	}
	var held []*mutex.Lease
	for i, key := range keys {
		lock := wlock
		if i%2 == 1 {
			lock = rlock
		}
		held = append(held, lock(t, mutex.NewRW(a, key)))
	}
	for i, key := range keys {
		name := fmt.Sprintf("%.20q", key)
		if n := s.Do(t, "HLEN", key); n != int64(2) {
			t.Errorf("%s has %v fields", name, n)
		}
		m := mutex.NewRW(b, key)
		if _, err := m.TryLockContext(t.Context()); !errors.Is(err, mutex.ErrLocked) {
			t.Errorf("%s does not exclude: %v", name, err)
		}
		before := s.Stats(t)
		next := m.LockChan(t.Context())
		redistest.Eventually(t, poll, func() bool { return strings.Fields(s.Do(t, "HGET", key, "state").(string))[4] == "1" }, "%s has a line", name)
		unlock(t, held[i])
		unlock(t, receive(t, name, next, 0))
		if n := s.Stats(t).Since(before).Published(); n < 1 {
			t.Errorf("%s was handed over by %d messages", name, n)
		}
	}
	rwRests(t, s, 0)
}
