package main

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
	"github.com/seed-3d5fec5c/baton/semaphore"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

// TestList lists a lock of each kind, among other keys.
func TestList(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	rdb := s.Client(t)
	s.PutTypes(t)
	s.Do(t, "SET", "string", "x")
	m, rw, sem, wg := mutex.New(rdb, "l-m"), mutex.NewRW(rdb, "l-rw"), semaphore.NewWeighted(rdb, "l-s", 5), waitgroup.New(rdb, "l-wg")
	m.Label, rw.Label, sem.Label = "one", "two\x1b[2J\n", "three"
	m.Lock()
	defer m.Unlock()
	rw.RLock()
	defer rw.RUnlock()
	check(t, sem.Acquire(t.Context(), 3))
	defer sem.Release(3)
	wg.Add(1)
	defer wg.Done()
	semaphore.NewLimiter(rdb, "l-lim", 0.001, 5).AllowN(3)

	all := remainingOutput(dlock(t, s, "ls"))
	lines := strings.Split(strings.TrimSpace(all), "\n")
	for i, want := range [][]string{
		{"l-lim ", "limiter", "2.0 of 5 tokens, 0.001/s"},
		{"l-m ", "mutex", "held by one ("}, {"l-rw ", "rwmutex", `held by two\x1b[2J\n (`}, {"l-s ", "semaphore", "held by three (", "; 3 of 5 permits"}, {"l-wg ", "waitgroup", "1 outstanding"},
	} {
		if len(lines) != 5 || slices.ContainsFunc(want, func(part string) bool { return !strings.Contains(lines[i], part) }) {
			t.Fatalf("no %q in line %d of\n%s", want, i+1, all)
		}
	}
	if some := remainingOutput(dlock(t, s, "ls", "*-s")); strings.Count(some, "\n") != 1 || !strings.HasPrefix(some, "l-s ") {
		t.Errorf("ls with a pattern printed %q", some)
	}
	expectOutput(t, s, "inspect l-s", "kind     semaphore\n", "state    3 of 5 permits\n", "holder   three (", ", 3 permits, fence ", "waiting  0\n")
	expectOutput(t, s, "inspect l-lim", "name     l-lim\nkind     limiter\nstate    2.0 of 5 tokens, 0.001/s\n")
	expectOutput(t, s, "inspect nothing", "kind     free\n")
	expectExit(t, dlock(t, s, "unlock", "-force", "-yes", "l-lim"), exitUsage)
	expectOutput(t, s, "doctor", "ok: scripts: ", "ok: atomic: ", "ok: pubsub: ", "warning: persistence: appendonly is off. ")
}

// TestListUnfinished lists a semaphore with unfinished work, whose state has more fields.
func TestListUnfinished(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	rdb := s.Client(t)
	sem := semaphore.NewWeighted(rdb, "name", 1000)
	check(t, sem.Acquire(t.Context(), 1))
	defer sem.Release(1)
	for token, hold := range rdb.HGetAll(t.Context(), "name").Val() {
		for i := range 600 { // holds of 600 processes, without the index
			if token != "state" {
				s.Do(t, "HSET", "name", token+strconv.Itoa(i), hold)
			}
		}
	}
	s.Do(t, "DEL", "baton:{name}:holders")
	_, err := semaphore.NewWeighted(s.Client(t), "name", 1000).TryAcquireLease(t.Context(), 1000)
	if state := s.Do(t, "HGET", "name", "state").(string); !errors.Is(err, semaphore.ErrNotAvailable) || strings.Count(state, " ") != 10 {
		t.Fatalf("the state has no unfinished work: %q, %v", state, err)
	}
	expectOutput(t, s, "ls", "name  semaphore  ")
}

// TestWatchAndUnlock watches a lock while it is handed over, and finally removed.
func TestWatchAndUnlock(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a, b := mutex.New(s.Client(t), "name"), mutex.New(s.Client(t), "name")
	a.Label, b.Label = "a", "b"
	w := dlock(t, s, "watch", "name")
	next := func(want string) {
		t.Helper()
		for line := range w.Lines() {
			if strings.Contains(line, want) {
				return
			}
		}
		t.Fatalf("watch did not print %q", want)
	}
	next(" free")
	a.Lock()
	next(" held by a (")
	c := b.LockChan(t.Context())
	next("; 1 waiting, next b (")
	a.Unlock()
	lb := (<-c).Lease
	next(" handed to b (")
	expectExit(t, dlock(t, s, "unlock", "-force", "name"), exitUsage) // no terminal for the confirmation
	if !mutexStatus(t, s, "name").Held() {
		t.Error("the lock was removed without a confirmation")
	}
	expectOutput(t, s, "unlock -force -yes name", "  b (", "next renewal")
	next(" free")
	expectOutput(t, s, "unlock -force -yes name", "\"name\" is not held\n")
	if err := lb.Unlock(); !errors.Is(err, mutex.ErrLost) {
		t.Errorf("Unlock of the former holder: %v", err)
	}
}

// TestUnlockPermits removes permits, but not if their holders have changed since they were inspected.
func TestUnlockPermits(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	rdb := s.Client(t)
	l, err := semaphore.NewWeighted(rdb, "name", 2).AcquireLease(t.Context(), 2)
	check(t, err)
	seen, err := inspectKey(t.Context(), rdb, "name")
	check(t, err)
	if err := forceRelease(t.Context(), rdb, "name", append(seen.tokens(), "x")); err == nil {
		t.Error("the lock of another holder was removed")
	}
	check(t, forceRelease(t.Context(), rdb, "name", seen.tokens()))
	next, err := semaphore.NewWeighted(s.Client(t), "name", 2).TryAcquireLease(t.Context(), 2)
	if err != nil {
		t.Fatalf("the semaphore is not free: %v", err)
	}
	_ = l.Release()
	if err := next.Release(); err != nil {
		t.Errorf("Release of the next holder: %v", err)
	}
}
