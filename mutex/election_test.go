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

// inElection runs f in a bubble with candidates of two processes.
func inElection(t *testing.T, f func(t *testing.T, rdb, other *redis.Client, a, b *mutex.Election)) {
	bubblePair(t, func(rdb redis.UniversalClient) *mutex.Election { return electionOf(rdb, "a") },
		func(t *testing.T, rdb, other *redis.Client, a, b *mutex.Election) {
			b.Value = "b"
			f(t, rdb, other, a, b)
		})
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
		a, b := electionOf(rdb, strings.Repeat("a", mutex.MaxElectionValue)), electionOf(sibling(t, rdb), "b")
		a.Label = "first"
		leads(t, b, "", 0)
		first := campaign(t, a)
		leads(t, b, a.Value, first.Number())
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
		if err := first.Resign(); !errors.Is(err, mutex.ErrResigned) || !errors.Is(first.Err(), mutex.ErrResigned) {
			t.Errorf("a second Resign returns %v, Err %v", err, first.Err())
		}
		leads(t, a, "b", second.Term.Number())
		resign(t, second.Term)
		leads(t, a, "", 0)
		var keys []string
		for range 5 { // a stall may keep a resignation from deleting the value
			if keys = rdb.Keys(t.Context(), "*").Val(); slices.Equal(keys, []string{"baton:{key}:fence"}) {
				return
			}
			resign(t, campaign(t, b))
		}
		t.Errorf("the remaining keys are %v", keys)
	})
}

// A campaign leaves no candidacy if it is canceled during its wait, or during the write of its value.
func TestCampaignCanceledLeavesNoCandidacy(t *testing.T) {
	for name, call := range map[string]func(ctx context.Context, e *mutex.Election) error{
		"Campaign":     func(ctx context.Context, e *mutex.Election) error { return redistest.ErrorOf(e.Campaign(ctx)) },
		"CampaignChan": func(ctx context.Context, e *mutex.Election) error { return (<-e.CampaignChan(ctx)).Err },
	} {
		inElection(t, func(t *testing.T, _, other *redis.Client, a, b *mutex.Election) {
			ctx, cancel := context.WithCancelCause(t.Context())
			canceled := func(what string) {
				t.Helper()
				if err := call(ctx, b); !errors.Is(err, errF) || !errors.Is(err, context.Canceled) {
					t.Errorf("%s: %s returns %v", what, name, err)
				}
				time.Sleep(time.Second)
				if s, err := a.Inspect(t.Context()); err != nil || s.Waiters != 0 {
					t.Errorf("%s: %+v, %v", what, s, err)
				}
			}
			first := campaign(t, a)
			time.AfterFunc(time.Second, func() { cancel(errF) })
			canceled("during the wait")
			resign(t, first)
			ctx, cancel = context.WithCancelCause(t.Context())
			other.AddHook(redistest.BeforeScripts(func(_ context.Context, cmd redis.Cmder) {
				if isValueWrite(cmd) {
					cancel(errF)
				}
			}))
			canceled("during the write of the value")
			leads(t, a, "", 0)
			resign(t, campaign(t, a))
		})
	}
}

// A term that is not received is lost after TTL.
func TestTermNotReceived(t *testing.T) {
	inElection(t, func(t *testing.T, _, _ *redis.Client, a, b *mutex.Election) {
		unread := a.CampaignChan(t.Context())
		time.Sleep(time.Millisecond) // a is elected
		start := time.Now()
		second := campaign(t, b)
		if took := time.Since(start); took > a.TTL+poll {
			t.Errorf("the next term begins after %v", took)
		}
		if r := <-unread; r.Term != nil || !errors.Is(r.Err, mutex.ErrLost) {
			t.Errorf("the late receive yields %v, %v", r.Term, r.Err)
		}
		resign(t, second)
	})
}

// Resign during an outage ends the term. After TTL another candidate is elected.
func TestResignFails(t *testing.T) {
	inElection(t, func(t *testing.T, rdb, _ *redis.Client, a, b *mutex.Election) {
		away := redistest.NewOutage(rdb)
		first := campaign(t, a)
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
		inElection(t, func(t *testing.T, rdb, _ *redis.Client, e, other *mutex.Election) {
			replyLate(rdb, late)
			result := e.CampaignChan(t.Context())
			synctest.Wait()
			first := campaign(t, other) // when the late grant has expired
			time.Sleep(10 * time.Second)
			if len(result) > 0 {
				t.Errorf("a late %s: two lead at the same time", name)
			}
			leads(t, other, "b", first.Number())
			resign(t, first)
			r := <-result
			if r.Err != nil || r.Term.Err() != nil || r.Term.Number() <= first.Number() {
				t.Fatalf("a late %s: then the campaign yields %v, %v", name, r.Term, r.Err)
			}
			resign(t, r.Term)
		})
	}
}

// If the mutex is lost before the write of the value, the caller gets a later term. Campaign panics
// with the panic of a hook in that write, and CampaignChan yields an error.
func TestCampaignAgainAfterLoss(t *testing.T) {
	inElection(t, func(t *testing.T, rdb, admin *redis.Client, e, _ *mutex.Election) {
		var deletions, panics atomic.Int32
		rdb.AddHook(redistest.BeforeScripts(func(ctx context.Context, cmd redis.Cmder) {
			if isValueWrite(cmd) && deletions.Add(-1) >= 0 {
				admin.Del(t.Context(), "key")
			}
			if isValueWrite(cmd) && panics.Add(-1) >= 0 {
				panic("in a hook")
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

			panics.Store(1)
			if err := redistest.Outcome(func() error { return redistest.ErrorOf(call()) }); err == nil || !strings.Contains(err.Error(), "in a hook") {
				t.Errorf("after a panic: %v", err)
			}
		}
		resign(t, campaign(t, e))
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
		cancel()
		for _, c := range results {
			if r := <-c; r.Term != nil || !errors.Is(r.Err, context.Canceled) {
				t.Fatalf("a canceled candidate yields %v, %v", r.Term, r.Err)
			}
		}
		resign(t, first)
	})
}

// The ctx of a term ends when the term is resigned or lost. Contended reports another candidate.
func TestTermContext(t *testing.T) {
	inElection(t, func(t *testing.T, rdb, _ *redis.Client, e, other *mutex.Election) {
		for _, want := range []error{mutex.ErrResigned, mutex.ErrLost} {
			term := campaign(t, e)
			ctx, stop := term.Context(t.Context())
			defer stop()
			contended, next := term.Contended(), other.CampaignChan(t.Context())
			<-contended
			if ctx.Err() != nil {
				t.Fatalf("before %v: a term begins with %v", want, ctx.Err())
			}
			if want == mutex.ErrLost {
				rdb.Del(t.Context(), "key")
			} else {
				resign(t, term)
			}
			<-ctx.Done()
			<-term.Done()
			late, stop := term.Context(t.Context())
			defer stop()
			if context.Cause(ctx) != want || context.Cause(late) != want || !errors.Is(term.Err(), want) || term.Remaining() != 0 {
				t.Errorf("%v: ctx ends with %v, a later one with %v, Err %v", want, context.Cause(ctx), context.Cause(late), term.Err())
			}
			if err := term.Resign(); !errors.Is(err, want) {
				t.Errorf("%v: Resign returns %v", want, err)
			}
			resign(t, (<-next).Term)
		}
	})
}

// The value of a term does not expire, and is not written again. If Redis loses it, the leader stores
// it again within a third of the TTL, with the values of the leader's ctx, and observers see it. After the
// term it expires, even if its process holds the key by a Mutex.
func TestValueOfATerm(t *testing.T) {
	inElection(t, func(t *testing.T, rdb, _ *redis.Client, a, b *mutex.Election) {
		a.TTL = time.Minute
		type tenant struct{}
		writes := 0
		rdb.AddHook(redistest.BeforeScripts(func(ctx context.Context, cmd redis.Cmder) {
			if !isValueWrite(cmd) {
				return
			}
			if writes++; ctx.Value(tenant{}) == nil {
				t.Error("the value is written without the values of the ctx")
			}
		}))
		term, err := a.Campaign(context.WithValue(t.Context(), tenant{}, "a"))
		must(err)
		writes = 0
		time.Sleep(3 * time.Hour)
		if leads(t, b, "a", term.Number()); writes != 0 {
			t.Errorf("the value is written %d times again", writes)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		o := b.Observe(ctx)
		sees(t, o, "a")
		for range 3 {
			time.Sleep(50 * time.Second) // not until a renewal
			rdb.Del(t.Context(), "baton:{key}:value")
			start := time.Now()
			sees(t, o, "")
			if l := sees(t, o, "a"); l.Number != term.Number() || time.Since(start) > a.TTL/3+time.Second {
				t.Errorf("after %v: %+v", time.Since(start), l)
			}
		}
		resign(t, term)
		sees(t, o, "")
		cancel()

		m := mutex.New(rdb, "key")
		m.TTL = a.TTL // so that it gets the claim of the term, within its time slice
		term, err = a.Campaign(context.WithValue(t.Context(), tenant{}, "a"))
		must(err)
		next := m.LockChan(t.Context())
		resign(t, term)
		last := granted(t, next)
		time.Sleep(2 * time.Hour)
		if keys := heldKeys(t, rdb, "key", "baton:{key}:value"); keys != "key" {
			t.Errorf("two hours later, the keys are %q", keys)
		}
		unlock(t, last)
	})
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
		rdb.HSet(t.Context(), "baton:{key}:value", "reset", "1753862400123456") // by a Once, during its run
		if _, err := e.Campaign(t.Context()); err == nil || !strings.Contains(err.Error(), "used by a Once") {
			t.Errorf("a campaign for the key of a Once: %v", err)
		}
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
