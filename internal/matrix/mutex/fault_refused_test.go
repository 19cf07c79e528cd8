package mutex_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

type refusal struct {
	code  string
	args  []string
	begin func(*testing.T, *redistest.Server) (end func())
}

// refusals has temporary errors of a server. Each function starts the state, and returns the function
// that ends it.
var refusals = map[string]refusal{
	"Readonly": {"READONLY", nil, func(t *testing.T, s *redistest.Server) func() { // row 7
		s.Do(t, "REPLICAOF", "127.0.0.1", "1")
		return func() { s.Do(t, "REPLICAOF", "NO", "ONE") }
	}},
	"MasterDown": {"MASTERDOWN", []string{"--replica-serve-stale-data", "no"}, func(t *testing.T, s *redistest.Server) func() {
		s.Do(t, "REPLICAOF", "127.0.0.1", "1")
		return func() { s.Do(t, "REPLICAOF", "NO", "ONE") }
	}},
	"NoReplicas": {"NOREPLICAS", nil, func(t *testing.T, s *redistest.Server) func() { // row 8
		s.Do(t, "CONFIG", "SET", "min-replicas-to-write", 1)
		return func() { s.Do(t, "CONFIG", "SET", "min-replicas-to-write", 0) }
	}},
	"OutOfMemory": {"OOM", nil, func(t *testing.T, s *redistest.Server) func() { // row 12
		s.Do(t, "CONFIG", "SET", "maxmemory", 1)
		return func() { s.Do(t, "CONFIG", "SET", "maxmemory", 0) }
	}},
	"Busy": {"BUSY", []string{"--busy-reply-threshold", "50"}, busy}, // row 17
	"DiskFull": {"MISCONF", []string{"--save", "3600 1", "--enable-protected-configs", "yes"}, func(t *testing.T, s *redistest.Server) func() { // row 24
		dir := t.TempDir()
		s.Do(t, "CONFIG", "SET", "dir", dir)
		if err := os.Remove(dir); err != nil {
			t.Fatal(err)
		}
		s.Do(t, "BGSAVE")
		redistest.Eventually(t, 5*time.Second, func() bool {
			return strings.Contains(s.Do(t, "INFO", "persistence").(string), "rdb_last_bgsave_status:err")
		}, "the server cannot save")
		return func() { s.Do(t, "CONFIG", "SET", "stop-writes-on-bgsave-error", "no") }
	}},
}

// busy keeps the server busy with an endless script.
func busy(t *testing.T, s *redistest.Server) (end func()) {
	rdb := s.Client(t, func(o *redis.Options) { o.ReadTimeout = time.Minute })
	killed := make(chan error)
	go func() { killed <- rdb.Eval(context.Background(), "while true do end", nil).Err() }()
	ping := s.Client(t)
	redistest.Eventually(t, 5*time.Second, func() bool {
		return redis.HasErrorPrefix(ping.Ping(t.Context()).Err(), "BUSY")
	}, "the server is busy")
	return func() {
		s.Do(t, "SCRIPT", "KILL")
		if err := <-killed; err == nil {
			t.Error("the script has ended by itself")
		}
	}
}

// TestFaultRefused locks while the server refuses (rows 7, 8, 12, 17 and 24). The wait ends with ctx, and
// its error contains the server's error, or when the server accepts writes again. A try does not wait.
func TestFaultRefused(t *testing.T) {
	t.Parallel()
	runTogether(t, refusals, func(t *testing.T, f refusal) {
		s := redistest.Start(t, f.args...)
		rdb, other := s.Client(t), s.Client(t)
		unlock(t, lock(t, mutexOf(rdb, time.Second)))
		end := f.begin(t, s)

		names := func(err error) {
			t.Helper()
			if err == nil || !strings.Contains(err.Error(), f.code) || !strings.Contains(err.Error(), `"key"`) {
				t.Errorf("the error is %v", err)
			}
		}
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		c := mutexOf(other, time.Second).LockChan(ctx)
		_, err := mutexOf(rdb, time.Second).LockContext(ctx)
		checkBound(t, "LockContext", start, 300*time.Millisecond)
		if names(err); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the error is %v", err)
		}
		if r := <-c; !errors.Is(r.Err, context.DeadlineExceeded) || r.Lease != nil {
			t.Errorf("LockChan yields %v", r)
		} else {
			names(r.Err)
		}
		start = time.Now()
		_, err = mutexOf(s.Client(t), time.Second).TryLockContext(t.Context())
		checkBound(t, "TryLockContext", start, 0)
		if names(err); errors.Is(err, mutex.ErrLocked) {
			t.Errorf("a try returned %v", err)
		}

		unlocked := make(chan struct{})
		go func() {
			defer close(unlocked)
			m := mutexOf(rdb, time.Second)
			m.Lock()
			m.Unlock() //lint:ignore SA2001 the critical section is empty
		}()
		next := mutexOf(other, time.Second).LockChan(t.Context())
		end()
		start = time.Now()
		unlock(t, receive(t, "to lock after the refusal", next, poll))
		<-unlocked
		checkBound(t, "both locks after the refusal", start, poll)
		expectNothingLeft(t, s, poll)
	})
}

// TestFaultRefusedRelease holds locks while the server refuses renewals and releases (rows 8 and 24). The
// hold and the call of Unlock end with the lease.
func TestFaultRefusedRelease(t *testing.T) {
	t.Parallel()
	const ttl = 600 * time.Millisecond
	s := redistest.Start(t)
	l, k := mutexOf(s.Client(t), ttl), mutex.New(s.Client(t), "another")
	k.TTL = ttl
	before := time.Now()
	lost, released := lock(t, l), lock(t, k)
	done := lost.Done()
	s.Do(t, "CONFIG", "SET", "min-replicas-to-write", 1)
	start := time.Now()
	if err := released.Unlock(); err == nil {
		if time.Since(start) < ttl { // later, the lease has ended
			t.Error("Unlock reports that the lock is released")
		}
	} else if !strings.Contains(err.Error(), "NOREPLICAS") || !strings.Contains(err.Error(), `"another"`) {
		t.Errorf("Unlock returned %v", err)
	}
	checkBound(t, "Unlock", start, ttl)
	left := time.Duration(s.Do(t, "PTTL", "another").(int64)) * time.Millisecond
	if left > 50*time.Millisecond+redistest.Allowance(before) { // the clock margin, and the time of the request
		t.Errorf("Unlock gave up %v before the end of the lock", left)
	}
	if err := released.Err(); !errors.Is(err, mutex.ErrUnlocked) {
		t.Errorf("Err after Unlock is %v", err)
	}
	expectLoss(t, lost, done, start, ttl)
	s.Do(t, "CONFIG", "SET", "min-replicas-to-write", 0)
	unlock(t, lockWithin(t, "to lock the key that was not released", mutex.New(s.Client(t), "another"), ttl))
	expectNothingLeft(t, s, 0)
}
