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
	if err := sem.Acquire(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
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
	out := remainingOutput(dlock(t, s, "inspect", "l-s"))
	for _, want := range []string{"kind     semaphore\n", "state    3 of 5 permits\n", "holder   three (", ", 3 permits, fence ", "waiting  0\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if out := remainingOutput(dlock(t, s, "inspect", "l-lim")); out != "name     l-lim\nkind     limiter\nstate    2.0 of 5 tokens, 0.001/s\n" {
		t.Errorf("inspect of a limiter printed %s", out)
	}
	expectExit(t, dlock(t, s, "unlock", "-force", "-yes", "l-lim"), exitUsage)
	if out := remainingOutput(dlock(t, s, "inspect", "nothing")); !strings.Contains(out, "kind     free\n") {
		t.Errorf("inspect of a missing key printed %s", out)
	}
}

// TestListUnfinished lists a semaphore with unfinished work, whose state has more fields.
func TestListUnfinished(t *testing.T) {
	s := redistest.Start(t)
	rdb := s.Client(t)
	sem := semaphore.NewWeighted(rdb, "name", 1000)
	l, err := sem.AcquireLease(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	fields, err := rdb.HGetAll(t.Context(), "name").Result()
	if err != nil || len(fields) != 2 {
		t.Fatalf("%v, %v", fields, err)
	}
	for token, hold := range fields {
		for i := range 600 { // holds of 600 processes, without the index
			if token != "state" {
				s.Do(t, "HSET", "name", token+strconv.Itoa(i), hold)
			}
		}
	}
	s.Do(t, "DEL", "baton:{name}:holders")
	_, err = semaphore.NewWeighted(s.Client(t), "name", 1000).TryAcquireLease(t.Context(), 1000)
	if !errors.Is(err, semaphore.ErrNotAvailable) {
		t.Fatal(err)
	}
	if state := s.Do(t, "HGET", "name", "state").(string); strings.Count(state, " ") != 10 {
		t.Fatalf("the state has no unfinished work: %q", state)
	}
	if out := remainingOutput(dlock(t, s, "ls")); !strings.HasPrefix(out, "name  semaphore  ") {
		t.Errorf("dlock printed %q", out)
	}
	if err := l.Release(); err != nil {
		t.Error(err)
	}
}

// TestWatchAndUnlock watches a lock while it is handed over, and finally removed.
func TestWatchAndUnlock(t *testing.T) {
	s := redistest.Start(t)
	rdb, other := s.Client(t), s.Client(t)
	a, b := mutex.New(rdb, "name"), mutex.New(other, "name")
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
	la, err := a.LockContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	next(" held by a (")
	c := b.LockChan(t.Context())
	next("; 1 waiting, next b (")
	if err := la.Unlock(); err != nil {
		t.Error(err)
	}
	lb := (<-c).Lease
	next(" handed to b (")
	expectExit(t, dlock(t, s, "unlock", "-force", "name"), exitUsage) // no terminal for the confirmation
	if !mutexStatus(t, a).Held() {
		t.Error("the lock was removed without a confirmation")
	}
	u := dlock(t, s, "unlock", "-force", "-yes", "name")
	if out := remainingOutput(u); !strings.Contains(out, "  b (") || !strings.Contains(out, "next renewal") {
		t.Errorf("dlock printed %q", out)
	}
	expectExit(t, u, 0)
	next(" free")
	if out := remainingOutput(dlock(t, s, "unlock", "-force", "-yes", "name")); out != "\"name\" is not held\n" {
		t.Errorf("unlock of a free lock printed %q", out)
	}
	if err := lb.Unlock(); !errors.Is(err, mutex.ErrLost) {
		t.Errorf("Unlock of the former holder: %v", err)
	}
}

// TestUnlockPermits removes permits, but not if their holders have changed since they were inspected.
func TestUnlockPermits(t *testing.T) {
	s := redistest.Start(t)
	rdb := s.Client(t)
	sem := semaphore.NewWeighted(rdb, "name", 2)
	l, err := sem.AcquireLease(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	seen, err := inspectKey(t.Context(), rdb, "name")
	if err != nil {
		t.Fatal(err)
	}
	other := seen
	other.Holders = slices.Clone(seen.Holders)
	other.Holders[0].Token += "x"
	if err := forceRelease(t.Context(), rdb, "name", other.tokens()); err == nil {
		t.Error("the lock of another holder was removed")
	}
	if err := forceRelease(t.Context(), rdb, "name", seen.tokens()); err != nil {
		t.Error(err)
	}
	next, err := semaphore.NewWeighted(s.Client(t), "name", 2).TryAcquireLease(t.Context(), 2)
	if err != nil {
		t.Fatalf("the semaphore is not free: %v", err)
	}
	_ = l.Release()
	if err := next.Release(); err != nil {
		t.Errorf("Release of the next holder: %v", err)
	}
}

// TestDoctor checks the report on a plain server.
func TestDoctor(t *testing.T) {
	s := redistest.Start(t)
	out := remainingOutput(dlock(t, s, "doctor"))
	for _, want := range []string{"ok: scripts: ", "ok: atomic: ", "ok: pubsub: ", "warning: persistence: appendonly is off. "} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}
