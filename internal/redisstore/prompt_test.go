package redisstore

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/internal/retry"
)

func promptRequest(key string) lease.Request {
	return lease.Request{Name: mutexAt(key), Token: "baton:60000:t", TTL: time.Minute, Seq: 1, Prompt: true}
}

// TestPromptRequestReturnsWithoutReply stops the server. A request with Prompt returns, although the
// client waits a minute for replies and the ctx does not end.
func TestPromptRequestReturnsWithoutReply(t *testing.T) {
	s := redistest.Start(t)
	cluster := redis.NewClusterClient(&redis.ClusterOptions{
		ClusterSlots: func(context.Context) ([]redis.ClusterSlot, error) {
			return []redis.ClusterSlot{{Start: 0, End: 16383, Nodes: []redis.ClusterNode{{Addr: s.Addr()}}}}, nil
		},
		ReadTimeout: time.Minute, WriteTimeout: time.Minute, MaintNotificationsConfig: options().MaintNotificationsConfig,
	})
	defer cluster.Close()
	for name, rdb := range map[string]redis.UniversalClient{
		"a server":  s.Client(t, func(o *redis.Options) { o.ReadTimeout, o.WriteTimeout = time.Minute, time.Minute }),
		"a cluster": cluster,
	} {
		store := NewStore(rdb)
		if name == "a cluster" && store.IsPrompt(mutexAt(name)) {
			t.Error("the slots are known before the first command")
		}
		redistest.Eventually(t, redistest.Patience, func() bool {
			if reply, err := store.Acquire(t.Context(), promptRequest(name)); err != retry.ErrNoAnswer && (err != nil || !reply.Granted) {
				t.Fatal(name, reply, err)
			}
			return store.IsPrompt(mutexAt(name))
		}, "%s replies within a millisecond, and counts as fast", name)
		s.Pause()
		if reply, err := store.Acquire(t.Context(), promptRequest(name+"'s second")); err != retry.ErrNoAnswer {
			t.Errorf("%s that is stopped: %+v, %v", name, reply, err)
		}
		if store.IsPrompt(mutexAt(name)) {
			t.Errorf("%s that did not reply counts as fast", name)
		}
		s.Continue()
	}
}

// TestPromptRequestThatIsRedirected moves the slot of a key. go-redis would send the request to a node
// whose client may have no promptHook.
func TestPromptRequestThatIsRedirected(t *testing.T) {
	m := redistest.Mini(t)
	rdb := redistest.MiniClient(t, m)
	check(t, rdb.Ping(t.Context()).Err())
	p := &pipeliner{process: rdb.Process, prompt: promptHookOf(rdb, true)}
	m.SetError("MOVED 15495 127.0.0.1:1")
	equal(t, "error", p.send(t.Context(), mutexRelease.command(t.Context(), "evalsha", "", nil, nil), true), retry.ErrNoAnswer)
	equal(t, "the hook is in use", p.prompt.inUse.Load(), true)
}

// TestPromptRequestPassesAllHooks checks earlier and later hooks of the client.
func TestPromptRequestPassesAllHooks(t *testing.T) {
	rdb := redistest.Start(t).Client(t)
	var outer, later []string // names of commands
	names := func(list *[]string) redis.Hook {
		return redistest.Before(func(_ context.Context, cmds ...redis.Cmder) error { *list = append(*list, cmds[0].Name()); return nil })
	}
	rdb.AddHook(names(&outer))
	store := NewStore(rdb)
	hook := store.transport.single.prompt
	rdb.Conn().Ping(t.Context()) // creates its own chain of the hooks
	if NewStore(rdb); !hook.inUse.Load() || promptHookOf(rdb, false) != hook {
		t.Error("the hook is not in use, or the client has two of them")
	}
	for _, key := range []string{"a", "b"} {
		outer, later = nil, nil
		reply, err := store.Acquire(t.Context(), promptRequest(key))
		if err != retry.ErrNoAnswer && (err != nil || !reply.Granted) { // a busy machine's reply is late
			t.Fatal(reply, err)
		}
		if !slices.Contains(outer, "evalsha") || slices.Contains(later, "evalsha") != (key == "b") {
			t.Errorf("%s: the hook saw %q, the later one %q", key, outer, later)
		}
		rdb.AddHook(names(&later))
	}
	equal(t, "prompt with a later hook", store.IsPrompt(mutexAt("b")), false)

	// Without timeouts go-redis sets no deadlines, and would not clear the deadline of a prompt request.
	for _, timeout := range []time.Duration{-1, -2} {
		o := options()
		o.ReadTimeout = timeout
		none := redis.NewClient(o)
		defer none.Close()
		if promptHookOf(none, false) != nil {
			t.Errorf("a client with ReadTimeout %d has a promptHook", timeout)
		}
	}
}
