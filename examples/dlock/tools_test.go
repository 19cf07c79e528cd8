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

// TestList has a lock of each kind among keys that are none.
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

	all := rest(dlock(t, s, "ls"))
	lines := strings.Split(strings.TrimSpace(all), "\n")
	for i, want := range [][]string{
		{"l-lim ", "limiter", "2.0 of 5 tokens, 0.001/s"},
		{"l-m ", "mutex", "held by one ("}, {"l-rw ", "rwmutex", `held by two\x1b[2J\n (`}, {"l-s ", "semaphore", "held by three (", "; 3 of 5 permits"}, {"l-wg ", "waitgroup", "1 left"},
	} {
		if len(lines) != 5 || slices.ContainsFunc(want, func(part string) bool { return !strings.Contains(lines[i], part) }) {
			t.Fatalf("no %q in line %d of\n%s", want, i+1, all)
		}
	}
	if some := rest(dlock(t, s, "ls", "*-s")); strings.Count(some, "\n") != 1 || !strings.HasPrefix(some, "l-s ") {
		t.Errorf("those that match: %q", some)
	}
	out := rest(dlock(t, s, "inspect", "l-s"))
	for _, want := range []string{"kind     semaphore\n", "state    3 of 5 permits\n", "holder   three (", ", 3 permits, fence ", "waiting  0\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if out := rest(dlock(t, s, "inspect", "l-lim")); out != "name     l-lim\nkind     limiter\nstate    2.0 of 5 tokens, 0.001/s\n" {
		t.Errorf("of a limiter: %s", out)
	}
	exits(t, dlock(t, s, "unlock", "-force", "-yes", "l-lim"), exitUsage)
	if out := rest(dlock(t, s, "inspect", "nothing")); !strings.Contains(out, "kind     free\n") {
		t.Errorf("of what is not there: %s", out)
	}
}

// TestListUnfinished lists a semaphore whose scripts have more to do than one of them does:
// its state has more fields then.
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
		for i := range 600 { // as of so many processes, whose index Redis has lost
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
		t.Fatalf("no work is left: %q", state)
	}
	if out := rest(dlock(t, s, "ls")); !strings.HasPrefix(out, "name  semaphore  ") {
		t.Errorf("it says %q", out)
	}
	if err := l.Release(); err != nil {
		t.Error(err)
	}
}

// TestWatchAndUnlock watches a lock change hands, and at last be taken away.
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
		t.Fatalf("it never says %q", want)
	}
	next(" free")
	la, err := a.LockContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	next(" held by a (")
	c := b.LockChan(t.Context())
	next("; 1 waiting, first b (")
	if err := la.Unlock(); err != nil {
		t.Error(err)
	}
	lb := (<-c).Lease
	next(" handed to b (")
	exits(t, dlock(t, s, "unlock", "-force", "name"), exitUsage) // nobody to ask
	if !see(t, a).Held() {
		t.Error("it was taken away without a yes")
	}
	u := dlock(t, s, "unlock", "-force", "-yes", "name")
	if out := rest(u); !strings.Contains(out, "  b (") || !strings.Contains(out, "next renewal") {
		t.Errorf("it says %q", out)
	}
	exits(t, u, 0)
	next(" free")
	if out := rest(dlock(t, s, "unlock", "-force", "-yes", "name")); out != "nobody holds \"name\"\n" {
		t.Errorf("of a free lock it says %q", out)
	}
	if err := lb.Unlock(); !errors.Is(err, mutex.ErrLost) {
		t.Errorf("who held it: %v", err)
	}
}

// TestUnlockPermits takes permits away, but not from those who have come since they were looked at.
func TestUnlockPermits(t *testing.T) {
	s := redistest.Start(t)
	rdb := s.Client(t)
	sem := semaphore.NewWeighted(rdb, "name", 2)
	l, err := sem.AcquireLease(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	seen, err := look(t.Context(), rdb, "name")
	if err != nil {
		t.Fatal(err)
	}
	other := seen
	other.Holders = slices.Clone(seen.Holders)
	other.Holders[0].Token += "x"
	if err := end(t.Context(), rdb, "name", other.tokens()); err == nil {
		t.Error("it is taken from another than was looked at")
	}
	if err := end(t.Context(), rdb, "name", seen.tokens()); err != nil {
		t.Error(err)
	}
	next, err := semaphore.NewWeighted(s.Client(t), "name", 2).TryAcquireLease(t.Context(), 2)
	if err != nil {
		t.Fatalf("it is not free: %v", err)
	}
	_ = l.Release()
	if err := next.Release(); err != nil {
		t.Errorf("who came then: %v", err)
	}
}

// TestDoctor reports what a server offers, and fails on one that grants no lock.
func TestDoctor(t *testing.T) {
	s := redistest.Start(t)
	out := rest(dlock(t, s, "doctor"))
	for _, want := range []string{"ok: scripts: ", "ok: atomic: ", "ok: pubsub: ", "warning: persistence: appendonly is off. "} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}
