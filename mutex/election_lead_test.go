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

// Lead returns the error of f, and resigns.
func TestLeadReturnsTheErrorOfF(t *testing.T) {
	t.Parallel()
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
			t.Errorf("Lead returns %v after f has resigned", err)
		}
		if v := panicOf(func() { _ = e.Lead(t.Context(), func(context.Context, *mutex.Term) error { panic("in f") }) }); v != "in f" {
			t.Errorf("Lead panics with %v", v)
		}
		leads(t, e, "", 0)
		deleted := e.Lead(t.Context(), func(context.Context, *mutex.Term) error {
			rdb.Del(t.Context(), "key")
			return failed
		})
		if !errors.Is(deleted, failed) || !errors.Is(deleted, mutex.ErrLost) {
			t.Errorf("Lead returns %v after Redis has lost the term", deleted)
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
				t.Error("Lead calls f")
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

// After each loss, which cancels the ctx of f, Lead campaigns again and gets a later term.
func TestLeadCampaignsAgainAfterOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		admin := sibling(t, rdb)
		away := redistest.NewOutage(rdb)
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
				time.Sleep(time.Minute) // cleanup
				return errors.New("ignored after a loss")
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
		if err := <-done; err == nil || err.Error() != "ignored after a loss" { // not lost when ctx ended
			t.Errorf("Lead returns %v", err)
		}
		leads(t, e, "", 0)
	})
}

// The ctx of f ends before the next candidate is elected, also in a process without a connection.
func TestLeadCtxEndsBeforeNextLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		away := redistest.NewOutage(rdb)
		var leading atomic.Int32
		f := func(ctx context.Context, term *mutex.Term) error {
			if leading.Add(1) != 1 {
				t.Error("two lead at the same time")
			}
			<-ctx.Done() // work that ends with its ctx
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
			t.Errorf("the next term begins after %v", took)
		}
		synctest.Wait() // the observer may see the value before b calls f
		if n := leading.Load(); n != 1 {
			t.Errorf("%d leaders", n)
		}
		away.Set(false)
		time.Sleep(time.Minute)
		cancel()
		<-done
		<-done
	})
}

// No other candidate is elected before f has returned.
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
			t.Errorf("the next term begins before f has returned: %v", r.Err)
		}
		if err := <-done; err != context.Canceled {
			t.Errorf("Lead returns %v", err)
		}
		resign(t, r.Term)
	})
}
