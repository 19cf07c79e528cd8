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

// user makes clients log in as a user with the rights, given as to ACL SETUSER.
func user(t *testing.T, s *redistest.Server, rights ...any) func(*redis.Options) {
	s.Do(t, append([]any{"ACL", "SETUSER", "user", "reset", "on", ">word"}, rights...)...)
	return func(o *redis.Options) { o.Username, o.Password = "user", "word" }
}

// TestFaultNoChannels denies pub/sub (row 21): hand-overs work, by polling.
func TestFaultNoChannels(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	may := user(t, s, "~*", "+@all", "resetchannels")
	l := lock(t, mutexOf(s.Client(t, may), time.Second))
	next := queued(t, s, mutexOf(s.Client(t, may), time.Second), 1)
	before := s.Stats(t)
	excludes(t, next, time.Second)
	if n := s.Stats(t).Since(before).Subscribes(); n > 10 {
		t.Errorf("tried to subscribe %d times in a second", n)
	}
	unlock(t, l)
	unlock(t, receive(t, "the hand-over", next, poll))
	if n := s.Stats(t).Calls["publish"]; n > 0 {
		t.Errorf("%d messages were published by a user who may not", n)
	}
	rests(t, s, 0)
}

// TestFaultNoRights denies what the library cannot do without (row 22).
func TestFaultNoRights(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	for name, rights := range map[string][]any{
		"scripts":             {"~*", "&*", "+@all", "-eval", "-evalsha"},
		"keys":                {"~other:*", "&*", "+@all"},
		"siblings":            {"~key", "&*", "+@all"},
		"a command in script": {"~*", "&*", "+@all", "-set"},
	} {
		refuses(t, "without "+name, mutexOf(s.Client(t, user(t, s, rights...)), time.Second), "NOPERM", "can't run this command")
		rests(t, s, 0)
	}
}

// TestFaultRightsTaken takes the rights from a holder (rows 22 and 70): a hold that goes on
// ends with its window, and so does Unlock, unless the rights come back.
func TestFaultRightsTaken(t *testing.T) {
	t.Parallel()
	const ttl = 600 * time.Millisecond
	s := redistest.Start(t)
	may := user(t, s, "~*", "&*", "+@all")
	l := lock(t, mutexOf(s.Client(t, may), ttl))
	done := l.Done()
	s.Do(t, "ACL", "SETUSER", "user", "-evalsha", "-eval")
	loses(t, l, done, time.Now(), ttl)
	unlock(t, lockWithin(t, "to lock by another user", mutexOf(s.Client(t), ample), ttl))

	s.Do(t, "ACL", "SETUSER", "user", "+evalsha")
	l = lock(t, mutexOf(s.Client(t, may), ttl))
	s.Do(t, "ACL", "SETUSER", "user", "-evalsha")
	start := time.Now()
	if err := l.Unlock(); err == nil || !strings.Contains(err.Error(), "NOPERM") {
		t.Errorf("Unlock returned %v", err)
	}
	bounded(t, "Unlock", start, ttl)
	rests(t, s, ttl)

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
	start = time.Now()
	if err := <-unlocked; err != nil {
		t.Errorf("Unlock, when the rights are back: %v", err)
	}
	bounded(t, "Unlock, when the rights are back", start, poll)
	rests(t, s, 0)
}

// TestFaultMaxClients lets no more connections in (row 23): that passes.
func TestFaultMaxClients(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	m := mutexOf(s.Client(t), time.Second)
	s.Do(t, "CONFIG", "SET", "maxclients", 1) // which is the test's own
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, err := m.LockContext(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the error is %v", err)
	} else {
		t.Log(err)
	}
	bounded(t, "LockContext", start, 300*time.Millisecond)
	if !strings.Contains(s.Do(t, "INFO", "stats").(string), "rejected_connections:") || strings.Contains(s.Do(t, "INFO", "stats").(string), "rejected_connections:0") {
		t.Error("the server has rejected no connection")
	}
	next := m.LockChan(t.Context())
	s.Do(t, "CONFIG", "SET", "maxclients", 100)
	unlock(t, receive(t, "to lock in the end", next, poll))
	rests(t, s, 0)
}

// TestFaultClientPause has the server keep all writes waiting (row 18), while
// TTLs run: for less than the window nothing happens, for longer the hold ends
// in time.
func TestFaultClientPause(t *testing.T) {
	t.Parallel()
	const pause = 500 * time.Millisecond
	together(t, map[string]string{"Write": "WRITE", "All": "ALL"}, func(t *testing.T, mode string) {
		s := redistest.Start(t)
		long := mutex.New(s.Client(t), "long")
		long.TTL = 3 * pause
		l, k := lock(t, mutexOf(s.Client(t), pause/2)), lock(t, long)
		done := l.Done()
		next := queued(t, s, mutexOf(s.Client(t), ample), 1)
		start := time.Now()
		s.Do(t, "CLIENT", "PAUSE", pause.Milliseconds(), mode)
		loses(t, l, done, start, pause/2)
		n := receive(t, "to wait for the end of the pause", next, pause)
		if time.Since(start) < pause {
			t.Error("the server did not pause")
		}
		unlock(t, n)
		keeps(t, k, 3*pause)
		unlock(t, k)
		rests(t, s, 0)
	})
}
