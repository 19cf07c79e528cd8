package mutex_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// sees receives a leader from an observer, and compares its value: "" means no leader.
func sees(t *testing.T, c <-chan mutex.Leader, value string) mutex.Leader {
	t.Helper()
	select {
	case l, open := <-c:
		if !open || l.Value != value || (l.Number == 0) != (value == "") {
			t.Fatalf("observed %+v, open: %v; want %q", l, open, value)
		}
		return l
	case <-time.After(redistest.Patience):
		t.Fatalf("%q is not observed", value)
		return mutex.Leader{}
	}
}

// Observers in all processes see each change once, including the end of a term. They leave nothing.
func TestObserve(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		a, b := electionOf(rdb, "a"), electionOf(sibling(t, rdb), "b")
		ctx, cancel := context.WithCancel(t.Context())
		observers := []<-chan mutex.Leader{a.Observe(ctx), b.Observe(ctx), b.Observe(ctx)}
		all := func(value string) {
			t.Helper()
			for _, o := range observers {
				sees(t, o, value)
			}
		}
		all("")
		for _, e := range []*mutex.Election{a, b, a} {
			term := campaign(t, e)
			all(e.Value)
			if l := sees(t, a.Observe(ctx), e.Value); l.Number != term.Number() || l.Remaining <= 0 { // a late observer
				t.Errorf("observed %+v, want term %d", l, term.Number())
			}
			resign(t, term)
			all("")
		}
		cancel()
		for _, o := range append(observers, a.Observe(ctx)) {
			if l, open := <-o; open {
				t.Errorf("observed %+v after the end", l)
			}
		}
		for i := range 50 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%5)*time.Millisecond)
			for range a.Observe(ctx) {
			}
			cancel()
		}
		rdb.Del(t.Context(), "baton:{key}:value") // a stall may keep a resignation from deleting it
		awaitEmpty(t, rdb)
	})
}

// A slow receiver gets the latest leader, and no leader twice.
func TestObserveLatestWins(t *testing.T) {
	inElection(t, func(t *testing.T, _, _ *redis.Client, a, b *mutex.Election) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		slow := b.Observe(ctx)
		sees(t, slow, "")
		time.Sleep(time.Second)
		for range 5 {
			resign(t, campaign(t, a))
			time.Sleep(time.Second)
		}
		if len(slow) > 0 { // there is no leader, as before
			t.Errorf("observed %+v", <-slow)
		}
		resign(t, campaign(t, a))
		second := campaign(t, b)
		time.Sleep(time.Second)
		if l := sees(t, slow, "b"); l.Number != second.Number() {
			t.Errorf("observed %+v", l)
		}
		resign(t, second)
		time.Sleep(time.Second)
		cancel()
		time.Sleep(time.Second)
		if l, open := <-slow; open { // a done ctx wins
			t.Errorf("observed %+v after the end", l)
		}
	})
}

// Observers see the death of a leader within TTL and a poll, without a message. During an outage of
// their own they see nothing, and after it the latest leader.
func TestObserveDeath(t *testing.T) {
	inElection(t, func(t *testing.T, rdb, other *redis.Client, a, b *mutex.Election) {
		away, blind := redistest.NewOutage(rdb), redistest.NewOutage(other)
		var record redistest.Record[mutex.Event]
		b.Trace = (*mutex.Trace)(record.Trace())
		first := campaign(t, a)
		o := b.Observe(t.Context())
		sees(t, o, "a")
		time.Sleep(time.Minute)
		away.Set(true)
		start := time.Now()
		sees(t, o, "")
		if took := time.Since(start); took < a.TTL/2 || took > a.TTL+poll {
			t.Errorf("observed after %v", took)
		}
		<-first.Done()
		away.Set(false)
		second := campaign(t, a)
		sees(t, o, "a")
		synctest.Wait()
		blind.Set(true)
		resign(t, second)
		time.Sleep(time.Hour)
		if len(o) > 0 || len(record.Take()) == 0 {
			t.Error("an observer sees a change during an outage, or its Trace has no RedisError events")
		}
		blind.Set(false)
		sees(t, o, "")
	})
}

// After a failover to a replica without the last term, observers do not see the earlier term again.
func TestObserveNeverGoesBack(t *testing.T) {
	inElection(t, func(t *testing.T, rdb, _ *redis.Client, a, b *mutex.Election) {
		ctx := t.Context()
		const key, value = "key", "baton:{key}:value"
		first := campaign(t, a)
		token, fields := rdb.Get(ctx, key).Val(), rdb.HGetAll(ctx, value).Val()
		o := b.Observe(ctx)
		sees(t, o, "a")
		resign(t, first)
		sees(t, o, "")
		second := campaign(t, b)
		sees(t, o, "b")
		rdb.Set(ctx, key, token, time.Minute)
		rdb.HSet(ctx, value, fields)
		time.Sleep(2 * poll)
		sees(t, o, "") // the later term has ended, and the earlier one is not shown again
		leads(t, a, "a", first.Number())
		<-second.Done()
		third := campaign(t, a)
		if l := sees(t, o, "a"); l.Number != third.Number() || l.Number <= second.Number() {
			t.Errorf("observed %+v after term %d", l, second.Number())
		}
		resign(t, third)
	})
}

// A term costs four requests and two messages, and each process with observers one request for each
// change. Resign costs a message to the next candidate, and the value of that candidate another.
func TestObserveCost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const processes, each, terms = 3, 50, 5
		c, clients := redistest.MiniClients(t, 1+processes)
		a, b := electionOf(clients[0], "a"), electionOf(clients[1], "b")
		resign(t, campaign(t, a)) // the server learns the scripts
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var observers []<-chan mutex.Leader
		for _, rdb := range clients[1:] {
			for range each {
				observers = append(observers, electionOf(rdb, "").Observe(ctx))
			}
		}
		all := func(value string) {
			synctest.Wait()
			for _, o := range observers {
				sees(t, o, value)
			}
		}
		all("")
		time.Sleep(100 * time.Millisecond) // for the polls after the subscription
		requests, messages := c.Cost(func() {
			for range terms {
				term := campaign(t, a)
				all("a")
				resign(t, term)
				all("")
			}
		})
		if requests > terms*(4+2*processes) || messages != 2*terms {
			t.Errorf("%d terms cost %d requests and %d messages", terms, requests, messages)
		}

		first := campaign(t, a)
		next := b.CampaignChan(t.Context())
		time.Sleep(100 * time.Millisecond)
		var second mutex.TermResult
		if _, messages := c.Cost(func() { resign(t, first); second = <-next }); second.Err != nil || messages != 2 {
			t.Errorf("a hand-over costs %d messages, %v", messages, second.Err)
		}
		leads(t, a, "b", second.Term.Number())
		resign(t, second.Term)
	})
}
