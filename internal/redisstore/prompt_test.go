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

// TestPromptRequestReturnsWithoutReply stops the server. A request with Prompt returns, although
// the client waits a minute for replies and the ctx does not end.
func TestPromptRequestReturnsWithoutReply(t *testing.T) {
	s := redistest.Start(t)
	rdb := s.Client(t, func(o *redis.Options) { o.ReadTimeout, o.WriteTimeout = time.Minute, time.Minute })
	store := NewStore(rdb)
	if reply, err := store.Acquire(t.Context(), promptRequest("a")); err != retry.ErrNoAnswer && (err != nil || !reply.Granted) {
		t.Fatal(reply, err)
	}
	s.Pause()
	defer s.Continue()
	if reply, err := store.Acquire(t.Context(), promptRequest("b")); err != retry.ErrNoAnswer {
		t.Errorf("the server is stopped: %+v, %v", reply, err)
	}
	if store.IsPrompt(mutexAt("b")) {
		t.Error("a server that did not reply counts as fast")
	}
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
	send := func(key string) {
		t.Helper()
		outer, later = nil, nil
		reply, err := store.Acquire(t.Context(), promptRequest(key))
		if err != retry.ErrNoAnswer && (err != nil || !reply.Granted) { // a busy machine's reply is late
			t.Fatal(reply, err)
		}
	}
	send("load the script")
	send("a")
	if !slices.Contains(outer, "evalsha") {
		t.Errorf("the hook saw %q", outer)
	}
	hook := store.transport.single.prompt
	rdb.Conn().Ping(t.Context()) // creates its own chain of the hooks
	if NewStore(rdb); !hook.inUse.Load() || promptHookOf(rdb, false) != hook {
		t.Error("the hook is not in use, or the client has two of them")
	}
	rdb.AddHook(names(&later))
	send("b")
	if !slices.Contains(outer, "evalsha") || !slices.Contains(later, "evalsha") || store.IsPrompt(mutexAt("b")) {
		t.Errorf("the hook saw %q, the later one %q; low latency %v", outer, later, store.IsPrompt(mutexAt("b")))
	}
}

// TestNoPromptHookWithoutTimeouts uses clients without timeouts. For them go-redis sets no deadlines,
// and would not clear the deadline of a prompt request.
func TestNoPromptHookWithoutTimeouts(t *testing.T) {
	for _, timeout := range []time.Duration{-1, -2} {
		rdb := redistest.Start(t).Client(t, func(o *redis.Options) { o.ReadTimeout = timeout })
		if promptHookOf(rdb, false) != nil {
			t.Errorf("a client with ReadTimeout %d has a promptHook", timeout)
		}
	}
}

// TestPromptRequestInCluster checks the promptHook of each node. A request returns immediately from a
// stopped node, and from a node that no longer has the slot, to which go-redis adds no hook.
func TestPromptRequestInCluster(t *testing.T) {
	c := redistest.StartCluster(t, 3)
	rdb := c.Client(t, func(o *redis.ClusterOptions) { o.ReadTimeout, o.WriteTimeout = time.Minute, time.Minute })
	store := NewStore(rdb)
	a := mutexAt("a")
	if store.IsPrompt(a) {
		t.Error("the slots are known before the first command")
	}
	acquire := func(failFast bool) error {
		r := promptRequest("a")
		r.Prompt = failFast
		reply, err := store.Acquire(t.Context(), r)
		if err == nil && !reply.Granted {
			t.Errorf("%+v", reply)
		}
		return err
	}
	getFast := func() {
		t.Helper()
		redistest.Eventually(t, redistest.Patience, func() bool {
			check(t, acquire(false))
			rdb.ReloadState(t.Context())
			node := must(rdb.MasterForKey(t.Context(), "a"))(t)
			return node.Options().Addr == c.Owner(t, c.Slot(t, "a")).Addr() && store.IsPrompt(a)
		}, "the node does not reply within a millisecond")
	}
	getFast()
	c.Migrate(t, c.Slot(t, "a")).Finish(t)
	if err := acquire(true); err != retry.ErrNoAnswer {
		t.Errorf("the slot has moved: %v", err)
	}
	getFast()
	owner := c.Owner(t, c.Slot(t, "a"))
	owner.Pause()
	defer owner.Continue()
	if err := acquire(true); err != retry.ErrNoAnswer || store.IsPrompt(a) {
		t.Errorf("the node is stopped: %v, low latency %v", err, store.IsPrompt(a))
	}
}
