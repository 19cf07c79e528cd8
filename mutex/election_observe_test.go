package mutex_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// sees receives from an observer the leader of the value, or no leader for "".
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

// TestObserve sees each change once, no leader included, in its own process and in others.
func TestObserve(t *testing.T) {
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		a, b := electionOf(rdb, "a"), electionOf(anotherClient(t, rdb), "b")
		c := electionOf(anotherClient(t, rdb), "")
		ctx, cancel := context.WithCancel(t.Context())
		observers := []<-chan mutex.Leader{a.Observe(ctx), b.Observe(ctx), c.Observe(ctx), c.Observe(ctx)}
		all := func(value string) {
			t.Helper()
			for _, o := range observers {
				sees(t, o, value)
			}
		}
		all("")
		for range 3 {
			first := campaign(t, a)
			all("a")
			resign(t, first)
			all("")
			second := campaign(t, b)
			all("b")
			if l := sees(t, c.Observe(ctx), "b"); l.Number != second.Number() || l.Remaining <= 0 { // one that comes later
				t.Errorf("observed %+v, want term %d", l, second.Number())
			}
			resign(t, second)
			all("")
		}
		cancel()
		for _, o := range observers {
			if l, open := <-o; open {
				t.Errorf("observed %+v after the end", l)
			}
		}
	})
}

// TestObserveLatestWins has a receiver that comes late: it gets the latest leader, and not what it
// has received already.
func TestObserveLatestWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		a, b := electionOf(rdb, "a"), electionOf(bubbleSibling(t, rdb), "b")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		slow := b.Observe(ctx)
		sees(t, slow, "")
		time.Sleep(time.Second)
		for range 5 {
			resign(t, campaign(t, a))
			time.Sleep(time.Second)
		}
		select {
		case l := <-slow: // nobody leads, as before
			t.Errorf("observed %+v", l)
		default:
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

// TestObserveDeath cuts a leader off for good: that nobody leads is observed within TTL + poll
// bound, although no message comes.
func TestObserveDeath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		away := new(redistest.Outage)
		rdb.AddHook(away)
		a, b := electionOf(rdb, "a"), electionOf(bubbleSibling(t, rdb), "b")
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
		resign(t, second)
		sees(t, o, "")
	})
}

// TestObserveNeverGoesBack has the server forget a term, as a failover to a replica does that
// was behind: the earlier term is not shown again, and the next one is.
func TestObserveNeverGoesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		ctx := t.Context()
		a, b := electionOf(rdb, "a"), electionOf(bubbleSibling(t, rdb), "b")
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
		sees(t, o, "") // the later term has ended, and the earlier one does not come back
		leads(t, a, "a", first.Number())
		<-second.Done()
		third := campaign(t, a)
		if l := sees(t, o, "a"); l.Number != third.Number() || l.Number <= second.Number() {
			t.Errorf("observed %+v after term %d", l, second.Number())
		}
		resign(t, third)
	})
}

// TestObserveThroughOutage: while Redis is away nothing is observed, and then the latest is.
func TestObserveThroughOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		other := bubbleSibling(t, rdb)
		away := new(redistest.Outage)
		other.AddHook(away)
		a, b := electionOf(rdb, "a"), electionOf(other, "b")
		var record redistest.Record[mutex.Event]
		b.Trace = (*mutex.Trace)(record.Trace())
		first := campaign(t, a)
		o := b.Observe(t.Context())
		sees(t, o, "a")
		synctest.Wait() // a read that the subscription has caused may be under way
		away.Set(true)
		resign(t, first)
		time.Sleep(time.Hour)
		select {
		case l := <-o:
			t.Errorf("observed %+v", l)
		default:
		}
		if len(record.Take()) == 0 {
			t.Error("the Trace has no errors of Redis")
		}
		away.Set(false)
		sees(t, o, "")
	})
}

// TestObserveCost is that of a term and of a minute with 200 observers in each of three processes,
// by the server's own counters.
func TestObserveCost(t *testing.T) {
	s := redistest.Start(t)
	a := electionOf(s.Client(t), "a")
	resign(t, campaign(t, a)) // the server learns the scripts
	const processes, each = 3, 200
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var observers []<-chan mutex.Leader
	for range processes {
		e := electionOf(s.Client(t), "")
		for range each {
			observers = append(observers, e.Observe(ctx))
		}
	}
	all := func(value string) {
		for _, o := range observers {
			sees(t, o, value)
		}
	}
	all("")
	redistest.Eventually(t, redistest.Patience, func() bool { return s.Subscribers(t, "baton:{key}:value") == processes }, "not all have subscribed")
	time.Sleep(100 * time.Millisecond) // the polls that follow the subscription
	start, before := time.Now(), s.Stats(t)
	const terms = 5
	for range terms {
		term := campaign(t, a)
		all("a")
		resign(t, term)
		all("")
	}
	time.Sleep(3 * time.Second)
	cost := s.Stats(t).Since(before)
	polls := int64(time.Since(start)/time.Second+1) * processes
	t.Logf("%d scripts, %d messages for %d terms, %v", cost.Scripts(), cost.Published(), terms, time.Since(start))
	if cost.Published() != 2*terms { // a change each
		t.Errorf("%d terms cost %d messages", terms, cost.Published())
	}
	// Of the leader: acquire, store, release, clear. Of each process: one for each change.
	redistest.CheckCount(t, "requests", cost.Scripts(), terms*(4+2*processes)+polls)
}

// TestResignHandsOverByOneMessage: one to the next candidate, and one for its value.
func TestResignHandsOverByOneMessage(t *testing.T) {
	s := redistest.Start(t)
	a, b := electionOf(s.Client(t), "a"), electionOf(s.Client(t), "b")
	resign(t, campaign(t, a))
	first := campaign(t, a)
	next := b.CampaignChan(t.Context())
	redistest.Eventually(t, redistest.Patience, func() bool { return waiting(t, s) == 1 }, "b does not queue")
	before := s.Stats(t)
	resign(t, first)
	second := <-next
	cost := s.Stats(t).Since(before)
	if second.Err != nil || cost.Published() != 2 {
		t.Errorf("%d messages, %v", cost.Published(), second.Err)
	}
	leads(t, a, "b", second.Term.Number())
	resign(t, second.Term)
}

// TestObserveAndLeave has observers come and go, which leaves nothing behind: goleak sees to the
// goroutines, and the server to the subscription.
func TestObserveAndLeave(t *testing.T) {
	s := redistest.Start(t)
	e := electionOf(s.Client(t), "a")
	for i := range 50 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%5)*time.Millisecond)
		for range e.Observe(ctx) {
		}
		cancel()
	}
	if _, open := <-e.Observe(canceled(t)); open {
		t.Error("observed although ctx was done")
	}
	redistest.Eventually(t, redistest.Patience, func() bool { return s.Subscribers(t, "baton:*") == 0 }, "a subscription stays")
	if keys := s.Keys(t); fmt.Sprint(keys) != "[]" {
		t.Errorf("keys stay: %v", keys)
	}
}
