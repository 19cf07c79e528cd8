package mutex_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

func electionOf(rdb redis.UniversalClient, value string) *mutex.Election {
	e := mutex.NewElection(rdb, "key")
	e.Value = value
	return e
}

func campaign(t *testing.T, e *mutex.Election) *mutex.Term {
	t.Helper()
	term, err := e.Campaign(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return term
}

func resign(t *testing.T, term *mutex.Term) {
	t.Helper()
	if err := term.Resign(); err != nil {
		t.Errorf("Resign: %v", err)
	}
}

// leads checks the value of the leader and the number of its term: "" and 0 mean no leader.
func leads(t *testing.T, e *mutex.Election, value string, number int64) {
	t.Helper()
	l, err := e.Leader(t.Context())
	if l.Value != value || l.Number != number || (number == 0) != errors.Is(err, mutex.ErrNoLeader) || number != 0 && err != nil {
		t.Errorf("Leader returns %+v, %v; want %q, term %d", l, err, value, number)
	}
}

func isValueWrite(cmd redis.Cmder) bool {
	args := cmd.Args()
	return len(args) >= 3+2+7 && strings.HasSuffix(fmt.Sprint(args[4]), "value")
}

func TestElection(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		a, b := electionOf(rdb, "a"), electionOf(sibling(t, rdb), "b")
		a.Label = "first"
		leads(t, b, "", 0)
		first := campaign(t, a)
		leads(t, b, "a", first.Number())
		if l, err := b.Leader(t.Context()); err != nil || l.Owner.Label != "first" || l.Remaining <= 0 || l.Remaining > a.TTL {
			t.Errorf("Leader returns %+v, %v", l, err)
		}
		next := b.CampaignChan(t.Context())
		awaitWaiters(t, a.Inspect, 1)
		if first.Err() != nil || first.Remaining() <= 0 {
			t.Errorf("the leader: %v, %v left", first.Err(), first.Remaining())
		}
		resign(t, first)
		<-first.Done()
		second := <-next
		if second.Err != nil || second.Term.Number() <= first.Number() {
			t.Fatalf("term %v after %d: %v", second.Term, first.Number(), second.Err)
		}
		leads(t, a, "b", second.Term.Number())
		if err := first.Resign(); !errors.Is(err, mutex.ErrResigned) || !errors.Is(first.Err(), mutex.ErrResigned) {
			t.Errorf("a second Resign returns %v, Err %v", err, first.Err())
		}
		leads(t, a, "b", second.Term.Number())
		resign(t, second.Term)
		leads(t, a, "", 0)
		if keys := rdb.Keys(t.Context(), "*").Val(); !slices.Equal(keys, []string{"baton:{key}:fence"}) {
			t.Errorf("the remaining keys are %v", keys)
		}
	})
}

// A campaign leaves no candidacy if it is canceled during its wait, during the write of its value, or
// before its result is received.
func TestCampaignCanceledLeavesNoCandidacy(t *testing.T) {
	for name, call := range map[string]func(ctx context.Context, e *mutex.Election) error{
		"Campaign":     func(ctx context.Context, e *mutex.Election) error { return redistest.ErrorOf(e.Campaign(ctx)) },
		"CampaignChan": func(ctx context.Context, e *mutex.Election) error { return (<-e.CampaignChan(ctx)).Err },
		"not received": func(ctx context.Context, e *mutex.Election) error {
			c := e.CampaignChan(ctx)
			time.Sleep(10 * time.Second)
			return (<-c).Err
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			rdb := bubbleClient(t)
			other := sibling(t, rdb)
			a, b := electionOf(rdb, "a"), electionOf(other, "b")
			canceled := func(what string, ctx context.Context) {
				t.Helper()
				if err := call(ctx, b); !errors.Is(err, errF) || !errors.Is(err, context.Canceled) {
					t.Errorf("%s: %s returns %v", what, name, err)
				}
				time.Sleep(time.Second)
				if s, err := a.Inspect(t.Context()); err != nil || s.Waiters != 0 {
					t.Errorf("%s: %+v, %v", what, s, err)
				}
			}
			later := func() context.Context {
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(time.Second, func() { cancel(errF) })
				return ctx
			}
			first := campaign(t, a)
			canceled("during the wait", later())
			resign(t, first)
			if name == "not received" {
				canceled("before the receive", later())
			} else {
				ctx, cancel := context.WithCancelCause(t.Context())
				other.AddHook(redistest.BeforeScripts(func(_ context.Context, cmd redis.Cmder) {
					if isValueWrite(cmd) {
						cancel(errF)
					}
				}))
				canceled("during the write of the value", ctx)
			}
			leads(t, a, "", 0)
			resign(t, campaign(t, a))
		})
	}
}

// A term that is not received is lost after TTL.
func TestTermNotReceived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		a, b := electionOf(rdb, "a"), electionOf(sibling(t, rdb), "b")
		unread := a.CampaignChan(t.Context())
		time.Sleep(time.Millisecond) // a is elected
		next := b.CampaignChan(t.Context())
		start := time.Now()
		second := <-next
		if took := time.Since(start); second.Err != nil || took > a.TTL+poll {
			t.Errorf("the next term begins after %v: %v", took, second.Err)
		}
		if r := <-unread; r.Term != nil || !errors.Is(r.Err, mutex.ErrLost) {
			t.Errorf("the late receive yields %v, %v", r.Term, r.Err)
		}
		resign(t, second.Term)
	})
}

// Resign during an outage ends the term. After TTL another candidate is elected.
func TestResignFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		away := redistest.NewOutage(rdb)
		a, b := electionOf(rdb, "a"), electionOf(sibling(t, rdb), "b")
		first := campaign(t, a)
		seen := b.Observe(t.Context())
		<-seen
		next := b.CampaignChan(t.Context())
		ctx, stop := first.Context(t.Context())
		defer stop()
		time.Sleep(time.Second)
		away.Set(true)
		start := time.Now()
		err := first.Resign()
		if took := time.Since(start); err == nil || errors.Is(err, mutex.ErrResigned) || took > a.TTL {
			t.Errorf("Resign returns %v after %v", err, took)
		}
		if !errors.Is(first.Err(), mutex.ErrResigned) || context.Cause(ctx) != mutex.ErrResigned {
			t.Errorf("then Err returns %v, and ctx ends with %v", first.Err(), context.Cause(ctx))
		}
		second := <-next
		if took := time.Since(start); second.Err != nil || took > a.TTL+poll {
			t.Errorf("the next term begins after %v: %v", took, second.Err)
		}
		for l := range seen {
			if l.Value == "b" {
				break
			}
		}
		away.Set(false)
		if err := first.Resign(); !errors.Is(err, mutex.ErrResigned) {
			t.Errorf("a second Resign returns %v", err)
		}
		leads(t, a, "b", second.Term.Number())
		resign(t, second.Term)
	})
}

// A campaign does not succeed by a reply that arrives after the hold has expired and another
// candidate leads.
func TestCampaignIgnoresLateGrant(t *testing.T) {
	for name, late := range map[string]func(cmd redis.Cmder) bool{"grant": func(redis.Cmder) bool { return true }, "value": isValueWrite} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rdb := bubbleClient(t)
				other := electionOf(sibling(t, rdb), "other")
				e, away := electionOf(rdb, "late"), redistest.NewOutage(rdb)
				var armed atomic.Bool
				armed.Store(true)
				rdb.AddHook(redistest.Scripts(func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error {
					err := next(ctx, cmd)
					if late(cmd) && armed.CompareAndSwap(true, false) {
						away.Set(true) // also for renewals
						time.Sleep(e.TTL + time.Second)
						away.Set(false)
					}
					return err
				}))
				result := e.CampaignChan(t.Context())
				synctest.Wait()
				first := campaign(t, other) // when the late grant has expired
				time.Sleep(10 * time.Second)
				select {
				case r := <-result:
					t.Fatalf("two lead at the same time: %v, %v", r.Term, r.Err)
				default:
				}
				leads(t, other, "other", first.Number())
				resign(t, first)
				r := <-result
				if r.Err != nil || r.Term.Err() != nil || r.Term.Number() <= first.Number() {
					t.Fatalf("then the campaign yields %v, %v", r.Term, r.Err)
				}
				resign(t, r.Term)
			})
		})
	}
}

// If the mutex is lost before the write of the value, the caller gets a later term.
func TestCampaignAgainAfterLoss(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		admin := sibling(t, rdb)
		e := electionOf(rdb, "a")
		var deletions atomic.Int32
		rdb.AddHook(redistest.BeforeScripts(func(ctx context.Context, cmd redis.Cmder) {
			if isValueWrite(cmd) && deletions.Add(-1) >= 0 {
				admin.Del(context.Background(), "key")
			}
		}))
		last := int64(0)
		for _, call := range []func() (*mutex.Term, error){
			func() (*mutex.Term, error) { return e.Campaign(t.Context()) },
			func() (*mutex.Term, error) { r := <-e.CampaignChan(t.Context()); return r.Term, r.Err },
		} {
			deletions.Store(2)
			term, err := call()
			if err != nil || term.Err() != nil || deletions.Load() >= 0 || term.Number() <= last {
				t.Fatalf("term %v, %v", term, err)
			}
			last = term.Number()
			leads(t, e, "a", last)
			resign(t, term)
		}
	})
}

// Each candidate of a process has its own number and value.
func TestCandidatesOfOneProcess(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		const n = 20
		terms := make(chan *mutex.Term)
		for i := range n {
			e := electionOf(rdb, fmt.Sprint(i))
			go func() {
				term := campaign(t, e)
				leads(t, e, e.Value, term.Number())
				terms <- term
			}()
		}
		last := int64(0)
		for range n {
			term := <-terms
			if term.Number() <= last || term.Err() != nil {
				t.Errorf("term %d after %d: %v", term.Number(), last, term.Err())
			}
			last = term.Number()
			resign(t, term)
		}
		leads(t, electionOf(rdb, ""), "", 0)
	})
}

// Candidates of a process wait without goroutines, and cost the requests of one candidate.
func TestManyCandidates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, all := redistest.MiniClients(t, 2)
		first := campaign(t, electionOf(all[1], "first"))
		e := electionOf(all[0], "many")
		ctx, cancel := context.WithCancel(t.Context())
		before := redistest.Goroutines()
		results := make([]<-chan mutex.TermResult, 1000)
		requests, _ := c.Cost(func() {
			for i := range results {
				results[i] = e.CampaignChan(ctx)
			}
			time.Sleep(time.Minute)
		})
		if n := redistest.Goroutines() - before; n > 20 || requests > 90 { // 20 for the renewals of the first term
			t.Errorf("%d goroutines, %d requests in a minute", n, requests)
		}
		resign(t, first)
		r := <-results[0]
		must(r.Err)
		cancel()
		for _, c := range results[1:] {
			if r := <-c; r.Term != nil || !errors.Is(r.Err, context.Canceled) {
				t.Fatalf("a canceled candidate yields %v, %v", r.Term, r.Err)
			}
		}
		resign(t, r.Term)
	})
}

// The ctx of a term ends when the term is resigned or lost.
func TestTermContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // a stall must not lose the term
		rdb := bubbleClient(t)
		e := electionOf(rdb, "a")
		for name, row := range map[string]struct {
			end  func(term *mutex.Term)
			want error
		}{
			"resigned": {func(term *mutex.Term) { resign(t, term) }, mutex.ErrResigned},
			"lost":     {func(*mutex.Term) { rdb.Del(t.Context(), "key") }, mutex.ErrLost},
		} {
			term := campaign(t, e)
			ctx, stop := term.Context(t.Context())
			defer stop()
			if ctx.Err() != nil {
				t.Fatalf("%s: a term begins with %v", name, ctx.Err())
			}
			row.end(term)
			<-ctx.Done()
			<-term.Done()
			late, stop := term.Context(t.Context())
			defer stop()
			if context.Cause(ctx) != row.want || context.Cause(late) != row.want || !errors.Is(term.Err(), row.want) || term.Remaining() != 0 {
				t.Errorf("%s: ctx ends with %v, a later one with %v, Err %v", name, context.Cause(ctx), context.Cause(late), term.Err())
			}
			if err := term.Resign(); !errors.Is(err, row.want) {
				t.Errorf("%s: Resign returns %v", name, err)
			}
		}
	})
}

// TestLongTermKeepsItsValue leads for three hours, without another write of the value.
func TestLongTermKeepsItsValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		e := electionOf(rdb, "a")
		e.TTL = time.Minute
		term := campaign(t, e)
		rdb.AddHook(redistest.BeforeScripts(func(_ context.Context, cmd redis.Cmder) {
			if isValueWrite(cmd) {
				t.Error("the value is written again")
			}
		}))
		for range 3 {
			time.Sleep(time.Hour)
			leads(t, e, "a", term.Number())
		}
		resign(t, term)
	})
}

// TestLostValueIsStoredAgain deletes the value of a leader. Within a third of the TTL the leader
// writes it again, with the values of the leader's ctx, and observers see it.
func TestLostValueIsStoredAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		a, b := electionOf(rdb, "a"), electionOf(sibling(t, rdb), "b")
		type tenant struct{}
		rdb.AddHook(redistest.BeforeScripts(func(ctx context.Context, cmd redis.Cmder) {
			if isValueWrite(cmd) && ctx.Value(tenant{}) == nil {
				t.Error("the value is written without the values of the ctx")
			}
		}))
		first, err := a.Campaign(context.WithValue(t.Context(), tenant{}, "a"))
		must(err)
		o := b.Observe(t.Context())
		sees(t, o, "a")
		for range 3 {
			time.Sleep(time.Minute)
			rdb.Del(t.Context(), "baton:{key}:value")
			start := time.Now()
			sees(t, o, "")
			if l := sees(t, o, "a"); l.Number != first.Number() || time.Since(start) > a.TTL/3+time.Second {
				t.Errorf("after %v: %+v", time.Since(start), l)
			}
		}
		resign(t, first)
		sees(t, o, "")
	})
}

// TestValueOfAnEndedTermExpires holds the key by a Mutex of the leader's process after the term.
func TestValueOfAnEndedTermExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		term := campaign(t, electionOf(rdb, "a"))
		next := mutex.New(rdb, "key").LockChan(t.Context())
		resign(t, term)
		last := granted(t, next)
		time.Sleep(2 * time.Hour)
		if keys := heldKeys(t, rdb, "key", "baton:{key}:value"); keys != "key" {
			t.Errorf("two hours later, the keys are %q", keys)
		}
		unlock(t, last)
	})
}

func TestElectionValueTooLarge(t *testing.T) {
	rdb := redistest.MiniClient(t, redistest.Mini(t))
	for n, want := range map[int]string{mutex.MaxElectionValue: "", mutex.MaxElectionValue + 1: "4097 bytes"} {
		e := electionOf(rdb, strings.Repeat("x", n))
		term, err := e.Campaign(t.Context())
		if r := <-e.CampaignChan(canceled(t)); want != "" && (r.Err == nil || !strings.Contains(r.Err.Error(), want)) {
			t.Errorf("%d bytes: CampaignChan yields %v", n, r.Err)
		}
		switch {
		case want == "" && err == nil:
			leads(t, e, e.Value, term.Number())
			resign(t, term)
		case want == "" || err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), `"key"`):
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

func canceled(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

// A holder of the mutex does not lead without a value. A value key of another type is an error.
func TestElectionOnUsedKeys(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		e := electionOf(rdb, "a")
		m := mutex.New(sibling(t, rdb), "key")
		held := lock(t, m)
		leads(t, e, "", 0)
		next := e.CampaignChan(t.Context())
		unlock(t, held)
		r := <-next
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		if _, err := m.TryLockContext(t.Context()); !errors.Is(err, mutex.ErrLocked) {
			t.Errorf("a try of a leader's mutex: %v", err)
		}
		rdb.Del(t.Context(), "key")
		held = lock(t, m)
		leads(t, e, "", 0) // the last leader's value still exists
		unlock(t, held)
		if err := r.Term.Resign(); !errors.Is(err, mutex.ErrLost) {
			t.Errorf("Resign of a lost term returns %v", err)
		}

		rdb.Del(t.Context(), "baton:{key}:value")
		rdb.Set(t.Context(), "baton:{key}:value", "x", 0)
		if _, err := e.Campaign(t.Context()); err == nil || !strings.Contains(err.Error(), "value key") {
			t.Errorf("a value of another type: %v", err)
		}
		if _, err := e.Leader(t.Context()); err == nil || errors.Is(err, mutex.ErrNoLeader) {
			t.Errorf("a value of another type: %v", err)
		}
		if _, open := <-e.Observe(t.Context()); open {
			t.Error("Observe yields a value of another type")
		}
		redistest.Eventually(t, redistest.Patience, func() bool { return rdb.Exists(t.Context(), "key").Val() == 0 }, "the failed campaign releases the mutex")
	})
}

// Campaign panics with the panic of a hook, and CampaignChan yields an error.
func TestElectionHookPanics(t *testing.T) {
	rdb := redistest.MiniClient(t, redistest.Mini(t))
	var armed atomic.Bool
	rdb.AddHook(redistest.BeforeScripts(func(_ context.Context, cmd redis.Cmder) {
		if isValueWrite(cmd) && armed.CompareAndSwap(true, false) {
			panic("in a hook")
		}
	}))
	e := electionOf(rdb, "a")
	armed.Store(true)
	if v := panicOf(func() { _, _ = e.Campaign(t.Context()) }); v != "in a hook" {
		t.Errorf("Campaign panics with %v", v)
	}
	armed.Store(true)
	if r := <-e.CampaignChan(t.Context()); r.Term != nil || r.Err == nil || !strings.Contains(r.Err.Error(), "in a hook") {
		t.Errorf("CampaignChan yields %v, %v", r.Term, r.Err)
	}
	resign(t, campaign(t, e))
}

// Contended reports that another candidate waits.
func TestTermContended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // a stall must not lose the term
		rdb := bubbleClient(t)
		a, b := electionOf(rdb, "a"), electionOf(sibling(t, rdb), "b")
		term := campaign(t, a)
		contended := term.Contended()
		next := b.CampaignChan(t.Context())
		<-contended
		resign(t, term)
		resign(t, (<-next).Term)
	})
}
