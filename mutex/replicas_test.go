package mutex_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/internal/retry"
	"github.com/seed-3d5fec5c/baton/mutex"
)

func replicated(rdb redis.UniversalClient, n int) *mutex.Mutex {
	m := mutexOf(rdb, "key")
	m.Replicas = n
	m.ReplicaTimeout = 100 * time.Millisecond
	return m
}

// unconfirmed checks that a try fails because too few replicas confirm, and leaves no lock.
func unconfirmed(t *testing.T, s *redistest.Server, m *mutex.Mutex, want string) {
	t.Helper()
	var l *mutex.Lease
	var err error
	redistest.Eventually(t, redistest.Patience, func() bool { // on a busy machine, a connection or the reply of a replica may take too long
		l, err = m.TryLockContext(t.Context())
		return err == nil || strings.Contains(err.Error(), want)
	}, "a try fails with %q", want)
	if l != nil || !errors.Is(err, mutex.ErrUnconfirmed) {
		t.Errorf("a try: %v, %v; want %q", l, err, want)
	}
	awaitFree(t, s)
}

// awaitFree waits until "key" has no owner: a call waits for a slow Redis only briefly.
func awaitFree(t *testing.T, s *redistest.Server) {
	t.Helper()
	redistest.Eventually(t, redistest.Patience/2, func() bool { return owner(t, s) == nil }, "the lock is free")
}

// When a lock is granted, its replicas have it.
func TestReplicasHaveTheGrant(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	replicas := []*redistest.Server{s.AddReplica(t), s.AddReplica(t)}
	have := func(what string) {
		t.Helper()
		for _, r := range replicas {
			if got := r.Do(t, "GET", "key"); got == nil || got != owner(t, s) {
				t.Errorf("%s: a replica has the owner %v, the master %v", what, got, owner(t, s))
			}
		}
	}
	for _, n := range []int{2, mutex.AllReplicas} {
		m, next := replicated(s.Client(t), n), replicated(s.Client(t), n)
		for range 20 {
			l := lock(t, m)
			have("a free lock")
			waiting := next.LockChan(t.Context())
			awaitWaiters(t, next.Inspect, 1)
			unlock(t, l)
			l = receive(t, waiting)
			have("a hand-over")
			unlock(t, l)
		}
	}
}

// AllReplicas includes replicas added since the last grant, and excludes removed ones.
func TestAllReplicasFollowsTheirNumber(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	m := replicated(s.Client(t), mutex.AllReplicas)
	unconfirmed(t, s, m, "0 of 1")
	s.AddReplica(t)
	unlock(t, lock(t, m))
	second := s.AddReplica(t)
	second.Pause()
	unconfirmed(t, s, m, "1 of 2")
	before := s.Stats(t).Calls["wait"]
	waiting := m.LockChan(t.Context())
	redistest.Eventually(t, redistest.Patience, func() bool { return s.Stats(t).Calls["wait"] > before }, "the server receives WAIT")
	notGranted(t, waiting)
	second.Kill()
	unlock(t, receive(t, waiting))
}

func TestFewerReplicasThanAsked(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	m := replicated(s.Client(t), 2)
	unconfirmed(t, s, m, "0 of 2")
	s.AddReplica(t)
	unconfirmed(t, s, m, "1 of 2")
	ctx, cancel := context.WithCancel(t.Context())
	before, waiting := s.Stats(t).Calls["wait"], m.LockChan(ctx)
	redistest.Eventually(t, redistest.Patience, func() bool { return s.Stats(t).Calls["wait"] >= before+2 }, "the server receives WAIT twice")
	cancel()
	if r := <-waiting; !errors.Is(r.Err, context.Canceled) || !errors.Is(r.Err, mutex.ErrUnconfirmed) {
		t.Errorf("a wait: %v", r.Err)
	}
	awaitFree(t, s)
	m.Replicas = 0
	unlock(t, lock(t, m))
}

// If WAIT is refused or unknown, the error is permanent, and the lock is not held.
func TestWaitRefused(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]struct {
		args     []string
		rules    []any // of the user; nil for the default user
		replicas int
		want     []string
	}{
		"unknown":        {[]string{"--rename-command", "WAIT", ""}, nil, 1, []string{"unknown command", "needs the command WAIT"}},
		"WAIT is denied": {nil, []any{"-wait"}, 1, []string{"NOPERM", "needs the command WAIT"}},
		"INFO is denied": {nil, []any{"-info"}, mutex.AllReplicas, []string{"NOPERM", "needs the command INFO"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := redistest.Start(t, r.args...)
			s.AddReplica(t)
			user := func(*redis.Options) {}
			if r.rules != nil {
				s.Do(t, append([]any{"ACL", "SETUSER", "u", "on", ">p", "~*", "&*", "+@all"}, r.rules...)...)
				user = func(o *redis.Options) { o.Username, o.Password = "u", "p" }
			}
			m := replicated(s.Client(t, user), r.replicas)
			for what, f := range map[string]func(context.Context) (*mutex.Lease, error){"LockContext": m.LockContext, "TryLockContext": m.TryLockContext} {
				_, err := f(t.Context())
				if !errors.Is(err, mutex.ErrUnconfirmed) || !retry.IsPermanent(err) {
					t.Errorf("%s: %v", what, err)
				}
				for _, text := range r.want {
					if !strings.Contains(fmt.Sprint(err), text) {
						t.Errorf("%s: %v does not contain %q", what, err, text)
					}
				}
				awaitFree(t, s)
			}
		})
	}
}

// The connection is closed between the renewal and the reply to WAIT.
func TestConnectionCutBeforeWaitIsAnswered(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	s.AddReplica(t)
	p := redistest.NewProxy(t, s.Addr())
	m := replicated(p.Client(t, redistest.Patient), 1)
	unlock(t, lock(t, m)) // the server learns the scripts
	p.CutNextReply("\r\nwait\r\n")
	unconfirmed(t, s, m, "EOF")
	p.CutNextRequest("\r\nwait\r\n")
	unlock(t, lock(t, m))
	if n := p.Faults(); n.RequestsCut != 1 || n.RepliesCut != 1 {
		t.Errorf("%+v", n)
	}
}

// In a cluster, the node of the key receives WAIT, and its replicas have the grant.
func TestReplicasInCluster(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, 3)
	node := c.Owner(t, c.Slot(t, "key"))
	m := replicated(c.Client(t), 1)
	unconfirmed(t, node, m, "0 of 1")
	replica := node.AddReplica(t, "--cluster-enabled", "yes")
	l := lock(t, m)
	replica.Do(t, "READONLY")
	if got := replica.Do(t, "GET", "key"); got == nil || got != owner(t, node) {
		t.Errorf("the replica has the owner %v, the master %v", got, owner(t, node))
	}
	unlock(t, l)
}
