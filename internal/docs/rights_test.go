package docs

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
	"github.com/seed-3d5fec5c/baton/semaphore"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

// rule returns the words of the pages' ACL SETUSER, from the user's name on.
func rule(t *testing.T) (words []any) {
	t.Helper()
	for _, block := range blocks(t, "text") {
		if said, ok := strings.CutPrefix(block, "ACL SETUSER "); ok {
			for word := range strings.FieldsSeq(said) {
				words = append(words, word)
			}
			return words
		}
	}
	t.Fatal("no page has a rule")
	return nil
}

// TestRights uses everything as the user that redis.md describes. Redis logs what it
// denies.
func TestRights(t *testing.T) {
	t.Run("Server", func(t *testing.T) { onServer(t, 0) })
	t.Run("Database", func(t *testing.T) { onServer(t, 1, documented(t, "+select")...) })
	t.Run("Cluster", func(t *testing.T) {
		c := redistest.StartCluster(t, 2)
		words := slices.Concat(rule(t), documented(t, "+cluster|slots +command"), documented(t, "+spublish +ssubscribe"), documented(t, "+wait"), documented(t, "+info"))
		var addrs []string
		for _, node := range c.Nodes {
			node.Do(t, append([]any{"ACL", "SETUSER"}, words...)...)
			addrs = append(addrs, node.Addr())
		}
		client := func() redis.UniversalClient {
			return redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs, Username: words[0].(string), Password: password(words)})
		}
		tour(t, c.Nodes, client)
	})
}

func onServer(t *testing.T, db int, more ...any) {
	s := redistest.Start(t)
	words := slices.Concat(rule(t), more, documented(t, "+wait"), documented(t, "+info"))
	s.Do(t, append([]any{"ACL", "SETUSER"}, words...)...)
	client := func() redis.UniversalClient {
		return redis.NewClient(&redis.Options{Addr: s.Addr(), DB: db, Username: words[0].(string), Password: password(words)})
	}
	tour(t, servers{s}, client)
}

// documented returns the words of a rule that the pages must name.
func documented(t *testing.T, rule string) (words []any) {
	if !strings.Contains(prose(t), "`"+rule+"`") {
		t.Errorf("no page names %s", rule)
	}
	for word := range strings.FieldsSeq(rule) {
		words = append(words, word)
	}
	return words
}

func password(words []any) string {
	for _, word := range words {
		if p, ok := strings.CutPrefix(word.(string), ">"); ok {
			return p
		}
	}
	return ""
}

// servers are one, or those of a cluster.
type servers []*redistest.Server

func (all servers) published(t *testing.T) (n int64) {
	for _, s := range all {
		n += s.Stats(t).Published()
	}
	return n
}

func (all servers) subscribed(t *testing.T, pattern string) (n int) {
	for _, s := range all {
		n += s.Subscribers(t, pattern)
	}
	return n
}

// granted fails if anything has been denied but what go-redis asks for on its own, and
// can do without.
func (all servers) granted(t *testing.T) {
	t.Helper()
	for _, s := range all {
		for _, entry := range s.Do(t, "ACL", "LOG").([]any) {
			if said := fmt.Sprint(entry); !strings.Contains(said, "object:client|") {
				t.Error(said)
			}
		}
	}
}

// tour goes through all primitives, by two clients, with waits that end by a
// message.
func tour(t *testing.T, s servers, client func() redis.UniversalClient) {
	defer s.granted(t)
	ctx := t.Context()
	a, b := client(), client()
	defer a.Close()
	defer b.Close()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	type acquire = func() (release func() error, err error)
	confirmed := mutex.New(a, "orders")
	confirmed.Replicas, confirmed.ReplicaTimeout = mutex.AllReplicas, time.Millisecond
	_, err := confirmed.TryLockContext(ctx)
	if !errors.Is(err, mutex.ErrUnconfirmed) || strings.Contains(err.Error(), "NOPERM") {
		t.Error(err)
	}
	// pass has one client hold what the other waits for.
	pass := func(hold, wait acquire, waits func() bool) {
		t.Helper()
		before := s.published(t)
		release, err := hold()
		if err != nil {
			t.Error(err)
			return
		}
		waited := make(chan error)
		go func() {
			release, err := wait()
			if err == nil {
				err = release()
			}
			waited <- err
		}()
		redistest.Eventually(t, 5*time.Second, waits, "nobody waits")
		must(release())
		must(<-waited)
		if s.published(t) == before {
			t.Error("no message was sent")
		}
	}
	lease := func(l *mutex.Lease, err error) (func() error, error) {
		if err != nil {
			return nil, err
		}
		return l.Unlock, nil
	}
	awaited := func(s mutex.Status, err error) bool {
		must(err)
		return s.Waiters == 1
	}

	m, n := mutex.New(a, "orders"), mutex.New(b, "orders")
	pass(func() (func() error, error) { return lease(m.LockContext(ctx)) },
		func() (func() error, error) { return lease(n.LockContext(ctx)) },
		func() bool { return awaited(m.Inspect(ctx)) })

	rw, rx := mutex.NewRW(a, "orders:rw"), mutex.NewRW(b, "orders:rw")
	pass(func() (func() error, error) { return lease(rw.RLockContext(ctx)) },
		func() (func() error, error) { return lease(rx.LockContext(ctx)) },
		func() bool { return awaited(rw.Inspect(ctx)) })

	p, q := mutex.NewPool(a, "orders:{pool}:"), mutex.NewPool(b, "orders:{pool}:")
	pass(func() (func() error, error) { return lease(p.LockContext(ctx, "1", "2")) },
		func() (func() error, error) { return lease(q.LockContext(ctx, "2", "3")) },
		func() bool { return awaited(p.Inspect(ctx, "2")) })

	permits := func(l *semaphore.Lease, err error) (func() error, error) {
		if err != nil {
			return nil, err
		}
		return l.Release, nil
	}
	k, l := semaphore.NewWeighted(a, "orders:permits", 3), semaphore.NewWeighted(b, "orders:permits", 3)
	pass(func() (func() error, error) { return permits(k.AcquireLease(ctx, 2)) },
		func() (func() error, error) { return permits(l.AcquireLease(ctx, 2)) },
		func() bool {
			status, err := k.Inspect(ctx)
			must(err)
			return status.Waiters == 1
		})
	must(k.Resize(ctx, 4))

	limiter := semaphore.NewLimiter(a, "orders:rate", semaphore.Every(20*time.Millisecond), 1)
	for range 3 {
		must(limiter.Wait(ctx))
	}

	w, x := waitgroup.New(a, "orders:group"), waitgroup.New(b, "orders:group")
	pass(func() (func() error, error) {
		return func() error {
			task, err := w.Claim(ctx)
			if err != nil {
				return err
			}
			_, err = w.Inspect(ctx)
			must(err)
			return task.Done()
		}, w.AddContext(ctx, 1)
	}, func() (func() error, error) { return func() error { return nil }, x.WaitContext(ctx) },
		func() bool { return s.subscribed(t, "baton:*:done") > 0 })
}

// TestRightsAreUsed compares the commands of the rule with those of the scripts, and
// the few that go over the wire by themselves.
func TestRightsAreUsed(t *testing.T) {
	want := []string{"+eval", "+evalsha", "+ping", "+subscribe", "+unsubscribe"}
	for _, m := range regexp.MustCompile(`redis\.p?call\('([A-Z]+)'`).FindAllStringSubmatch(readAll(t, "internal/redisstore", "*.lua")+readAll(t, "internal/redisstore/lib", "*.lua"), -1) {
		if m[1] != "SPUBLISH" { // named apart, because Redis 6 does not know it
			want = append(want, "+"+strings.ToLower(m[1]))
		}
	}
	var got []string
	for _, word := range rule(t) {
		if strings.HasPrefix(word.(string), "+") {
			got = append(got, word.(string))
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if want = slices.Compact(want); !slices.Equal(got, want) {
		t.Errorf("redis.md grants\n%v, and the library uses\n%v", got, want)
	}
}
