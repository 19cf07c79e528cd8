package mutex_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// Lead returns what f returns while it leads, and resigns.
func TestLeadReturnsWhatFReturns(t *testing.T) {
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		e := electionOf(rdb, "a")
		failed := errors.New("failed")
		for _, want := range []error{nil, failed} {
			err := e.Lead(t.Context(), func(ctx context.Context, term *mutex.Term) error {
				leads(t, e, "a", term.Number())
				return want
			})
			if err != want {
				t.Errorf("Lead returns %v, want %v", err, want)
			}
			leads(t, e, "", 0)
		}
		if err := e.Lead(t.Context(), func(_ context.Context, term *mutex.Term) error { return term.Resign() }); err != nil {
			t.Errorf("Lead of one that resigns by itself returns %v", err)
		}
		func() {
			defer func() {
				if v := recover(); v != "in f" {
					t.Errorf("Lead panics with %v", v)
				}
			}()
			_ = e.Lead(t.Context(), func(context.Context, *mutex.Term) error { panic("in f") })
		}()
		leads(t, e, "", 0)
		deleted := e.Lead(t.Context(), func(context.Context, *mutex.Term) error {
			rdb.Del(t.Context(), "key")
			return failed
		})
		if !errors.Is(deleted, failed) || !errors.Is(deleted, mutex.ErrLost) {
			t.Errorf("Lead of a term that only Redis knew to be lost returns %v", deleted)
		}
	})
}

// A candidate that is never elected does not call f.
func TestLeadNeverElected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		first := campaign(t, electionOf(sibling(t, rdb), "first"))
		why := errors.New("why")
		ctx, cancel := context.WithCancelCause(t.Context())
		done := make(chan error)
		go func() {
			done <- electionOf(rdb, "never").Lead(ctx, func(context.Context, *mutex.Term) error {
				t.Error("f is called")
				return nil
			})
		}()
		time.Sleep(time.Minute)
		cancel(why)
		if err := <-done; !errors.Is(err, why) {
			t.Errorf("Lead returns %v", err)
		}
		resign(t, first)
	})
}

// After each loss, of which f's ctx tells, a later term follows.
func TestLeadCampaignsAgainAfterOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		admin := sibling(t, rdb)
		away := new(redistest.Outage)
		rdb.AddHook(away)
		e := electionOf(rdb, "a")
		terms := make(chan *mutex.Term)
		var inside atomic.Int32
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			done <- e.Lead(ctx, func(ctx context.Context, term *mutex.Term) error {
				if inside.Add(1) != 1 {
					t.Error("f runs twice at the same time")
				}
				defer inside.Add(-1)
				terms <- term
				<-ctx.Done()
				if term.Err() != nil && context.Cause(ctx) != mutex.ErrLost {
					t.Errorf("ctx ends with %v", context.Cause(ctx))
				}
				time.Sleep(time.Minute) // to clean up
				return errors.New("dropped after a loss")
			})
		}()
		last := int64(0)
		for _, lose := range []func(){
			func() { away.Set(true); time.Sleep(time.Hour); away.Set(false) },
			func() { admin.Del(t.Context(), "key") },
			func() { away.Set(true); time.Sleep(time.Hour); away.Set(false) },
		} {
			term := <-terms
			if term.Number() <= last {
				t.Errorf("term %d after %d", term.Number(), last)
			}
			last = term.Number()
			lose()
		}
		term := <-terms
		leads(t, e, "a", term.Number())
		cancel()
		if err := <-done; err == nil || err.Error() != "dropped after a loss" { // it led when ctx ended
			t.Errorf("Lead returns %v", err)
		}
		leads(t, e, "", 0)
	})
}

// The ctx of f ends before another is elected, also in a process that is cut off.
func TestLeadCtxEndsBeforeNextLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		away := new(redistest.Outage)
		rdb.AddHook(away)
		var leading atomic.Int32
		f := func(ctx context.Context, term *mutex.Term) error {
			if leading.Add(1) != 1 {
				t.Error("two lead")
			}
			<-ctx.Done() // work that heeds its ctx
			leading.Add(-1)
			return nil
		}
		a, b := electionOf(rdb, "a"), electionOf(sibling(t, rdb), "b")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 2)
		go func() { done <- a.Lead(ctx, f) }()
		synctest.Wait()
		go func() { done <- b.Lead(ctx, f) }()
		start := time.Now()
		away.Set(true)
		for l := range b.Observe(ctx) {
			if l.Value == "b" {
				break
			}
		}
		if took := time.Since(start); took > a.TTL+poll {
			t.Errorf("the next leads after %v", took)
		}
		synctest.Wait() // an observer may see the value before b's f begins
		if n := leading.Load(); n != 1 {
			t.Errorf("%d lead", n)
		}
		away.Set(false)
		time.Sleep(time.Minute)
		cancel()
		<-done
		<-done
	})
}

// Nobody is elected before f has returned, however long that takes.
func TestLeadResignsAfterFHasReturned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		a, b := electionOf(rdb, "a"), electionOf(sibling(t, rdb), "b")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		var returned atomic.Bool
		go func() {
			done <- a.Lead(ctx, func(ctx context.Context, _ *mutex.Term) error {
				<-ctx.Done()
				time.Sleep(3 * a.TTL)
				returned.Store(true)
				return ctx.Err()
			})
		}()
		time.Sleep(time.Second)
		next := b.CampaignChan(t.Context())
		synctest.Wait()
		cancel()
		r := <-next
		if r.Err != nil || !returned.Load() {
			t.Errorf("the next leads before f has returned: %v", r.Err)
		}
		if err := <-done; err != context.Canceled {
			t.Errorf("Lead returns %v", err)
		}
		resign(t, r.Term)
	})
}
