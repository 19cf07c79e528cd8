package redisstore

import (
	"fmt"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/ratelimit"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// Lua and Go must use the same times.
func TestTTLsAreTheSameInLuaAndInGo(t *testing.T) {
	waiter := fmt.Sprintf("local WAITER_TTL = '%d' ", lease.WaiterTTL.Milliseconds())
	reservation := fmt.Sprintf("local RESERVATION_TTL = '%d' ", ratelimit.Retention.Milliseconds())
	for s, want := range map[*script]string{mutexAcquire: waiter, mutexYield: waiter, mutexRelease: waiter, limitTake: reservation} {
		if !strings.Contains(s.text, want) {
			t.Errorf("no %q in\n%s", want, s.text)
		}
	}
}

// A restart, a failover and SCRIPT FLUSH make a server forget all scripts.
func TestScriptsAreSentAgainAfterAFlush(t *testing.T) {
	eachServer(t, func(r *rig) {
		sent := redistest.CountRequests(r.rdb)
		for _, do := range []func(){
			func() { equal(r.T, "acquire", outcome(r.acquire(a, 1)), "granted") },
			func() { equal(r.T, "another", outcome(r.acquire(b, 1)), "wait") },
			func() { equal(r.T, "renew", r.renew(a), true) },
			func() { equal(r.T, "yield", outcome(r.yield(a, c, 1)), "wait") },
			func() { equal(r.T, "release", r.release(b), true) },
		} {
			check(r.T, r.rdb.ScriptFlush(r.Context()).Err())
			sent.Store(0)
			do()
			equal(r.T, "requests", sent.Load(), 2)
		}
	})
}

// Some servers and proxies only know EVAL.
func TestServerWithoutEvalsha(t *testing.T) {
	r, _ := realRig(t, "--rename-command", "EVALSHA", "")
	r.held(a, b)
	equal(t, "renew", r.renew(a), true)
	equal(t, "release", r.release(a), true)
	equal(t, "owner", r.owner(), b)
}

// By default go-redis repeats a command three times if its reply was lost. Here the claim decides
// whether to send another request, which has a number of its own.
func TestCommandsAreSentOnce(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	p := redistest.NewProxy(t, s.Addr())
	direct := newRig(t, s.Client(t), "key")
	faulty := direct.with(p.Client(t, redistest.Patient))
	yield := direct.request(b, 1)
	yield.Replaces = a
	calls := []struct {
		name string
		do   func(r *rig) error
	}{
		{"acquire", func(r *rig) error { return r.acquiring(r.request(a, 1))() }},
		{"renew", func(r *rig) error {
			return renewAll(r, []lease.Renewal{{Name: mutexAt(r.lock), Token: a, TTL: lockTTL}})[0].Err
		}},
		{"yield", func(r *rig) error { return r.acquiring(yield)() }},
		{"release", func(r *rig) error { return errorOf(r.Release(r.Context(), mutexAt(r.lock), b)) }},
	}
	for _, command := range []string{"eval", "evalsha"} {
		for _, call := range calls {
			if command == "eval" {
				s.Do(t, "SCRIPT", "FLUSH")
			}
			redistest.Eventually(t, redistest.Patience, func() bool { return faulty.rdb.Ping(t.Context()).Err() == nil }, "it is connected")
			before, cut := s.Stats(t), p.Faults().RepliesCut
			p.CutNextReply("\r\n" + command + "\r\n")
			expect(t, call.name+" by "+command, call.do(faulty), "passing", "")
			redistest.Eventually(t, redistest.Patience, func() bool { return p.Faults().RepliesCut == cut+1 }, "no reply to %s was cut", call.name)
			if n := s.Stats(t).Since(before).Calls[command]; n != 1 {
				t.Errorf("%s by %s: executed %d times", call.name, command, n)
			}
			check(t, call.do(direct)) // loads the script, and succeeds as if nothing had happened
		}
	}
	if n := len(s.Keys(t)); n != 1 {
		t.Errorf("keys left: %q", s.Keys(t))
	}
}

func TestCloneOfACommandIsSentOnceToo(t *testing.T) {
	clone := mutexRenew.command(t.Context(), "evalsha", mutexRenew.sha, []any{"key"}, []any{a, 1}).Clone()
	if !clone.NoRetry() || clone.Args()[3] != "key" {
		t.Errorf("got %v", clone)
	}
}

// Redis before 6.2 has no SET with GET. There the scripts do not use it.
func TestServerWithoutSetGet(t *testing.T) {
	newer, newerRelease := mutexAcquire, mutexRelease
	defer func() { mutexAcquire, mutexRelease = newer, newerRelease }()
	older := func(s *script) *script {
		text := strings.ReplaceAll(s.text, "RETENTION, 'GET')", "RETENTION, 'NONE')") // an unknown option, like GET before 6.2
		if text == s.text {
			t.Error("the script has no SET with GET")
		}
		return newScript(text)
	}
	mutexAcquire, mutexRelease = older(mutexAcquire), older(mutexRelease)
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) { // before any parallel test
		r := newRig(t, rdb, "key")
		first := r.acquire(a, 1)
		equal(r.T, "a free lock", outcome(first), "granted")
		r.acquire(b, 1)
		messages := r.published(func() { equal(r.T, "owned", r.release(a), true) })
		equal(r.T, "messages", len(messages), 1)
		equal(r.T, "owner", r.owner(), b)
		if r.last() <= first.FenceBase {
			r.Errorf("base %d after %d", r.last(), first.FenceBase)
		}
		r.put(r.fence, "list")
		r.release(b)
		_, err := r.Acquire(r.Context(), r.request(c, 1))
		expect(r.T, "with a fence of another type", err, "permanent", "fence key: WRONGTYPE")
	})
}
