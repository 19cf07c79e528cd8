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

// refusing are the ways in which a server refuses what it will do later: each
// starts, and returns what ends it.
var refusing = map[string]refusal{
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

// busy keeps the server in a script that does not end.
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

// TestFaultRefused waits such a server out: until ctx ends, whose error then
// names the server's, or until the server takes writes again (rows 7, 8, 12, 17
// and 24). A try does not wait.
func TestFaultRefused(t *testing.T) {
	t.Parallel()
	together(t, refusing, func(t *testing.T, f refusal) {
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
		bounded(t, "LockContext", start, 300*time.Millisecond)
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
		bounded(t, "TryLockContext", start, 0)
		if names(err); errors.Is(err, mutex.ErrLocked) {
			t.Errorf("a try returned %v", err)
		}

		unlocked := make(chan struct{})
		go func() {
			defer close(unlocked)
			m := mutexOf(rdb, time.Second)
			m.Lock()
			m.Unlock() //lint:ignore SA2001 it only waits
		}()
		next := mutexOf(other, time.Second).LockChan(t.Context())
		end()
		start = time.Now()
		unlock(t, receive(t, "to lock in the end", next, poll))
		<-unlocked
		bounded(t, "both to lock in the end", start, poll)
		rests(t, s, poll)
	})
}

// TestFaultRefusedRelease holds a lock that the server will neither renew nor
// release (rows 8 and 24): the hold and Unlock end with the lease.
func TestFaultRefusedRelease(t *testing.T) {
	t.Parallel()
	const ttl = 600 * time.Millisecond
	s := redistest.Start(t)
	l, k := mutexOf(s.Client(t), ttl), mutex.New(s.Client(t), "another")
	k.TTL = ttl
	asked := time.Now()
	lost, released := lock(t, l), lock(t, k)
	done := lost.Done()
	s.Do(t, "CONFIG", "SET", "min-replicas-to-write", 1)
	start := time.Now()
	if err := released.Unlock(); err == nil {
		if time.Since(start) < ttl { // else it has found the lock ended
			t.Error("Unlock says that it has released the lock")
		}
	} else if !strings.Contains(err.Error(), "NOREPLICAS") || !strings.Contains(err.Error(), `"another"`) {
		t.Errorf("Unlock returned %v", err)
	}
	bounded(t, "Unlock", start, ttl)
	left := time.Duration(s.Do(t, "PTTL", "another").(int64)) * time.Millisecond
	if left > 50*time.Millisecond+redistest.Allowance(asked) { // but for the margin for clocks, and the way of the request
		t.Errorf("Unlock gave up %v before the lock ends", left)
	}
	if err := released.Err(); !errors.Is(err, mutex.ErrUnlocked) {
		t.Errorf("Err after it is %v", err)
	}
	loses(t, lost, done, start, ttl)
	s.Do(t, "CONFIG", "SET", "min-replicas-to-write", 0)
	unlock(t, lockWithin(t, "to lock what could not be released", mutex.New(s.Client(t), "another"), ttl))
	rests(t, s, 0)
}
