package faults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
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

// setting returns a function that sets a parameter of the server, and a function that restores it.
func setting(parameter string, on, off any) func(*testing.T, *redistest.Server) (end func()) {
	return func(t *testing.T, s *redistest.Server) func() {
		s.Do(t, "CONFIG", "SET", parameter, on)
		return func() { s.Do(t, "CONFIG", "SET", parameter, off) }
	}
}

func becomeReplica(t *testing.T, s *redistest.Server) (end func()) {
	s.Do(t, "REPLICAOF", "127.0.0.1", "1")
	return func() { s.Do(t, "REPLICAOF", "NO", "ONE") }
}

// fillDisk removes the directory in which the server saves.
func fillDisk(t *testing.T, s *redistest.Server) (end func()) {
	dir := t.TempDir()
	s.Do(t, "CONFIG", "SET", "dir", dir)
	check(t, os.Remove(dir))
	s.Do(t, "BGSAVE")
	redistest.Eventually(t, redistest.Patience, func() bool {
		return strings.Contains(s.Do(t, "INFO", "persistence").(string), "rdb_last_bgsave_status:err")
	}, "the server cannot save")
	return func() { s.Do(t, "CONFIG", "SET", "stop-writes-on-bgsave-error", "no") }
}

// keepBusy keeps the server busy with an endless script.
func keepBusy(t *testing.T, s *redistest.Server) (end func()) {
	rdb := s.Client(t, redistest.Patient)
	killed := make(chan error)
	go func() { killed <- rdb.Eval(context.Background(), "while true do end", nil).Err() }()
	ping := s.Client(t)
	redistest.Eventually(t, redistest.Patience, func() bool {
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
// its error contains the server's error, or when the server accepts writes again. A try does not wait. A
// hold that cannot be renewed ends in time. Without memory, it is renewed and released.
func TestFaultRefused(t *testing.T) {
	each(t, map[string]refusal{
		"Readonly":    {"READONLY", nil, becomeReplica},
		"MasterDown":  {"MASTERDOWN", []string{"--replica-serve-stale-data", "no"}, becomeReplica},
		"NoReplicas":  {"NOREPLICAS", nil, setting("min-replicas-to-write", 1, 0)},
		"OutOfMemory": {"OOM", nil, setting("maxmemory", 1, 0)},
		"Busy":        {"BUSY", []string{"--busy-reply-threshold", "50"}, keepBusy},
		"DiskFull":    {"MISCONF", []string{"--save", "3600 1", "--enable-protected-configs", "yes"}, fillDisk},
	}, func(t *testing.T, f refusal) {
		s := redistest.Start(t, f.args...)
		rdb, other := s.Client(t), s.Client(t)
		unlock(t, lock(t, mutexOf(rdb, time.Second)))
		const ttl = 900 * time.Millisecond
		held := lock(t, mutexAt(rdb, "held", ttl))
		done := held.Done()
		end := f.begin(t, s)
		begun := time.Now()
		expect := func(err error, timeout bool) {
			t.Helper()
			if err == nil || !strings.Contains(err.Error(), f.code) || !strings.Contains(err.Error(), `"key"`) ||
				errors.Is(err, context.DeadlineExceeded) != timeout || errors.Is(err, mutex.ErrLocked) {
				t.Errorf("the error is %v", err)
			}
		}
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		c := mutexOf(other, time.Second).LockChan(ctx)
		_, err := mutexOf(rdb, time.Second).LockContext(ctx)
		checkBound(t, "LockContext", start, 300*time.Millisecond)
		expect(err, true)
		expect((<-c).Err, true)
		start = time.Now()
		_, err = mutexOf(s.Client(t), time.Second).TryLockContext(t.Context())
		checkBound(t, "TryLockContext", start, 0)
		expect(err, false)
		if f.code == "OOM" {
			expectKept(t, held, ttl)
			unlock(t, held)
		} else {
			expectLoss(t, held, done, begun, ttl)
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
		unlock(t, grant(t, "to lock after the refusal", next, poll))
		<-unlocked
		checkBound(t, "both locks after the refusal", start, poll)
		expectNothingLeft(t, s, poll)
	})
}

// TestFaultLoading locks while the server loads its data after a restart (row 3).
func TestFaultLoading(t *testing.T) {
	t.Parallel()
	const ttl = 5 * time.Second
	s := redistest.Start(t, "--enable-debug-command", "yes", "--rdbcompression", "no", "--key-load-delay", "1000", "--loading-process-events-interval-bytes", "1024")
	rdb := s.Client(t)
	l := lock(t, mutexAt(rdb, "held", ttl))
	s.Do(t, "DEBUG", "POPULATE", 1000, "filler", 1000)
	s.Do(t, "SAVE")
	s.Kill()
	up := make(chan error)
	go func() { up <- s.Restart() }()
	for loading := false; !loading; {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		_, err := mutexOf(rdb, ttl).LockContext(ctx)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("no request got LOADING: %v", err)
		}
		loading = strings.Contains(err.Error(), "LOADING")
	}
	c := mutexOf(rdb, ttl).LockChan(t.Context())
	check(t, <-up)
	unlock(t, grant(t, "to lock after LOADING", c, poll))
	unlock(t, l) // it was kept
}

// user returns a client option for a user with these rights of ACL SETUSER.
func user(t *testing.T, s *redistest.Server, rights ...any) func(*redis.Options) {
	s.Do(t, append([]any{"ACL", "SETUSER", "user", "reset", "on", ">word"}, rights...)...)
	return func(o *redis.Options) { o.Username, o.Password = "user", "word" }
}

// TestFaultNoRights denies permissions that the library needs (row 22). Calls fail at once, with the key and
// the reason.
func TestFaultNoRights(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	for desc, rights := range map[string][]any{
		"scripts":             {"~*", "&*", "+@all", "-eval", "-evalsha"},
		"keys":                {"~other:*", "&*", "+@all"},
		"siblings":            {"~key", "&*", "+@all"},
		"a command in script": {"~*", "&*", "+@all", "-set"},
	} {
		m := mutexOf(s.Client(t, user(t, s, rights...)), time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), redistest.Patience)
		defer cancel()
		start := time.Now()
		for _, way := range []func() error{
			func() error { _, err := m.TryLockContext(ctx); return err },
			func() error { return (<-m.LockChan(ctx)).Err },
			func() error { m.Lock(); return nil },
		} {
			err := redistest.Outcome(way)
			if !regexp.MustCompile(`"key".*(NOPERM|can't run this command)`).MatchString(fmt.Sprint(err)) || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("without %s: the error is %v", desc, err)
			}
		}
		checkBound(t, "three refused calls", start, 0)
		expectNothingLeft(t, s, 0)
	}
}

// TestFaultRightsTaken revokes the permissions of a holder (rows 22 and 70). The hold ends with its window,
// and so does Unlock, unless the permissions are granted again.
func TestFaultRightsTaken(t *testing.T) {
	t.Parallel()
	const ttl = 600 * time.Millisecond
	s := redistest.Start(t)
	may := user(t, s, "~*", "&*", "+@all", "-eval")
	unlock(t, lock(t, mutexOf(s.Client(t), ttl))) // loads the scripts
	l := lock(t, mutexOf(s.Client(t, may), ttl))
	done := l.Done()
	s.Do(t, "ACL", "SETUSER", "user", "-evalsha")
	expectLoss(t, l, done, time.Now(), ttl)
	unlock(t, lockWithin(t, "to lock as another user", mutexOf(s.Client(t), ample), ttl))

	s.Do(t, "ACL", "SETUSER", "user", "+evalsha")
	l = lock(t, mutexOf(s.Client(t, may), ttl))
	s.Do(t, "ACL", "SETUSER", "user", "-evalsha")
	start := time.Now()
	if err := l.Unlock(); err == nil || !strings.Contains(err.Error(), "NOPERM") {
		t.Errorf("Unlock returned %v", err)
	}
	checkBound(t, "Unlock", start, ttl)
	expectNothingLeft(t, s, ttl)

	s.Do(t, "ACL", "SETUSER", "user", "+evalsha")
	denied := make(chan struct{}, 100)
	m := mutexOf(s.Client(t, may), ample)
	m.Trace = &mutex.Trace{RedisError: func(context.Context, mutex.Event) { denied <- struct{}{} }}
	l = lock(t, m)
	s.Do(t, "ACL", "SETUSER", "user", "-evalsha")
	unlocked := make(chan error)
	go func() { unlocked <- l.Unlock() }()
	<-denied
	s.Do(t, "ACL", "SETUSER", "user", "+evalsha")
	check(t, receive(t, "Unlock after the permissions were granted again", unlocked, time.Now(), poll))
	expectNothingLeft(t, s, 0)
}

// TestFaultNoConnection locks while the server refuses new connections, or the pool has no free one (rows
// 23 and 45).
func TestFaultNoConnection(t *testing.T) {
	each(t, map[string]func(*testing.T, *redistest.Server, *redis.Client) (reason string, try time.Duration, end func()){
		"MaxClients": func(t *testing.T, s *redistest.Server, rdb *redis.Client) (string, time.Duration, func()) {
			end := setting("maxclients", 1, 100)(t, s) // only the test's own connection
			return "(Redis: ", 500 * time.Millisecond, func() {
				if strings.Contains(s.Do(t, "INFO", "stats").(string), "rejected_connections:0") {
					t.Error("the server has rejected no connection")
				}
				end()
			}
		},
		"PoolExhausted": func(t *testing.T, s *redistest.Server, rdb *redis.Client) (string, time.Duration, func()) {
			unlock(t, lock(t, mutexOf(rdb, ample)))
			popped := make(chan error)
			go func() { popped <- rdb.BLPop(context.Background(), 0, "list").Err() }()
			redistest.Eventually(t, redistest.Patience, func() bool {
				return strings.Contains(s.Do(t, "INFO", "clients").(string), "blocked_clients:1")
			}, "a client is blocked")
			return redis.ErrPoolTimeout.Error(), 100 * time.Millisecond, func() {
				s.Do(t, "LPUSH", "list", "value")
				check(t, <-popped)
			}
		},
	}, func(t *testing.T, begin func(*testing.T, *redistest.Server, *redis.Client) (string, time.Duration, func())) {
		const wait = 500 * time.Millisecond
		s := redistest.Start(t)
		rdb := s.Client(t, func(o *redis.Options) { o.PoolSize, o.PoolTimeout = 1, 100*time.Millisecond })
		reason, try, end := begin(t, s, rdb)
		m := mutexOf(rdb, ample)
		ctx, cancel := context.WithTimeout(t.Context(), wait)
		defer cancel()
		start := time.Now()
		_, err := m.LockContext(ctx)
		checkBound(t, "LockContext", start, wait)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), reason) {
			t.Errorf("the error is %v", err)
		}
		start = time.Now()
		if l, err := mutexAt(rdb, "another", ample).TryLockContext(t.Context()); err == nil || errors.Is(err, mutex.ErrLocked) {
			t.Errorf("a try without a connection: %v, %v", l, err)
		}
		checkBound(t, "TryLockContext", start, try)
		next := m.LockChan(t.Context())
		end()
		unlock(t, grant(t, "to lock when a connection is free", next, poll))
		expectNothingLeft(t, s, poll)
	})
}
