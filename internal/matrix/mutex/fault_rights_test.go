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

// user returns a client option for a user with these rights of ACL SETUSER.
func user(t *testing.T, s *redistest.Server, rights ...any) func(*redis.Options) {
	s.Do(t, append([]any{"ACL", "SETUSER", "user", "reset", "on", ">word"}, rights...)...)
	return func(o *redis.Options) { o.Username, o.Password = "user", "word" }
}

// TestFaultNoChannels denies pub/sub (row 21). Hand-overs work by polling.
func TestFaultNoChannels(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	may := user(t, s, "~*", "+@all", "resetchannels")
	l := lock(t, mutexOf(s.Client(t, may), time.Second))
	next := enqueue(t, s, mutexOf(s.Client(t, may), time.Second), 1)
	before := s.Stats(t)
	expectExcluded(t, next, time.Second)
	if n := s.Stats(t).Since(before).Subscribes(); n > 10 {
		t.Errorf("%d attempts to subscribe in a second", n)
	}
	unlock(t, l)
	unlock(t, receive(t, "the hand-over", next, poll))
	if n := s.Stats(t).Calls["publish"]; n > 0 {
		t.Errorf("%d messages were published without the permission", n)
	}
	expectNothingLeft(t, s, 0)
}

// TestFaultNoRights denies permissions that the library needs (row 22).
func TestFaultNoRights(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	for name, rights := range map[string][]any{
		"scripts":             {"~*", "&*", "+@all", "-eval", "-evalsha"},
		"keys":                {"~other:*", "&*", "+@all"},
		"siblings":            {"~key", "&*", "+@all"},
		"a command in script": {"~*", "&*", "+@all", "-set"},
	} {
		expectRefused(t, "without "+name, mutexOf(s.Client(t, user(t, s, rights...)), time.Second), "NOPERM", "can't run this command")
		expectNothingLeft(t, s, 0)
	}
}

// TestFaultRightsTaken revokes the permissions of a holder (rows 22 and 70). The hold ends with its window,
// and so does Unlock, unless the permissions are granted again.
func TestFaultRightsTaken(t *testing.T) {
	t.Parallel()
	const ttl = 600 * time.Millisecond
	s := redistest.Start(t)
	may := user(t, s, "~*", "&*", "+@all")
	l := lock(t, mutexOf(s.Client(t, may), ttl))
	done := l.Done()
	s.Do(t, "ACL", "SETUSER", "user", "-evalsha", "-eval")
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
	start = time.Now()
	if err := <-unlocked; err != nil {
		t.Errorf("Unlock after the permissions were granted again: %v", err)
	}
	checkBound(t, "Unlock after the permissions were granted again", start, poll)
	expectNothingLeft(t, s, 0)
}

// TestFaultMaxClients refuses new connections (row 23) for some time.
func TestFaultMaxClients(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	m := mutexOf(s.Client(t), time.Second)
	s.Do(t, "CONFIG", "SET", "maxclients", 1) // only the test's own connection
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, err := m.LockContext(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the error is %v", err)
	} else {
		t.Log(err)
	}
	checkBound(t, "LockContext", start, 300*time.Millisecond)
	if !strings.Contains(s.Do(t, "INFO", "stats").(string), "rejected_connections:") || strings.Contains(s.Do(t, "INFO", "stats").(string), "rejected_connections:0") {
		t.Error("the server has rejected no connection")
	}
	next := m.LockChan(t.Context())
	s.Do(t, "CONFIG", "SET", "maxclients", 100)
	unlock(t, receive(t, "to lock when connections are accepted", next, poll))
	expectNothingLeft(t, s, 0)
}

// TestFaultClientPause pauses writes on the server while TTLs run (row 18). A hold with a longer window is
// kept. A hold with a shorter window ends in time.
func TestFaultClientPause(t *testing.T) {
	t.Parallel()
	const pause = 500 * time.Millisecond
	runTogether(t, map[string]string{"Write": "WRITE", "All": "ALL"}, func(t *testing.T, mode string) {
		s := redistest.Start(t)
		long := mutex.New(s.Client(t), "long")
		long.TTL = 3 * pause
		l, k := lock(t, mutexOf(s.Client(t), pause/2)), lock(t, long)
		done := l.Done()
		next := enqueue(t, s, mutexOf(s.Client(t), ample), 1)
		start := time.Now()
		s.Do(t, "CLIENT", "PAUSE", pause.Milliseconds(), mode)
		expectLoss(t, l, done, start, pause/2)
		n := receive(t, "to lock after the pause", next, pause)
		if time.Since(start) < pause {
			t.Error("the server did not pause")
		}
		unlock(t, n)
		expectKept(t, k, 3*pause)
		unlock(t, k)
		expectNothingLeft(t, s, 0)
	})
}
