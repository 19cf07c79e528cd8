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
	inElection(t, func(t *testing.T, rdb, _ *redis.Client, e, _ *mutex.Election) {
		for _, want := range []error{nil, errF} {
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
		mustPanic(t, "in f", func() { _ = e.Lead(t.Context(), func(context.Context, *mutex.Term) error { panic("in f") }) })
		leads(t, e, "", 0)
		deleted := e.Lead(t.Context(), func(context.Context, *mutex.Term) error {
			rdb.Del(t.Context(), "key")
			return errF
		})
		if !errors.Is(deleted, errF) || !errors.Is(deleted, mutex.ErrLost) {
			t.Errorf("Lead returns %v after Redis has lost the term", deleted)
		}
	})
}

// After each loss, which cancels the ctx of f, Lead campaigns again and gets a later term. When its own
// ctx ends, no other candidate is elected before f has returned.
func TestLeadCampaignsAgainAfterOutage(t *testing.T) {
	inElection(t, func(t *testing.T, rdb, admin *redis.Client, e, other *mutex.Election) {
		away := redistest.NewOutage(rdb)
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
		outage := func() { away.Set(true); time.Sleep(time.Hour); away.Set(false) }
		last := int64(0)
		for _, lose := range []func(){outage, func() { admin.Del(t.Context(), "key") }, outage} {
			term := <-terms
			if term.Number() <= last {
				t.Errorf("term %d after %d", term.Number(), last)
			}
			last = term.Number()
			lose()
		}
		term := <-terms
		leads(t, e, "a", term.Number())
		next := other.CampaignChan(t.Context())
		cancel()
		time.Sleep(59 * time.Second)
		if len(next) > 0 {
			t.Error("the next term begins before f has returned")
		}
		if err := <-done; err == nil || err.Error() != "ignored after a loss" { // not lost when ctx ended
			t.Errorf("Lead returns %v", err)
		}
		never := func(context.Context, *mutex.Term) error { panic("Lead calls f") }
		if err := e.Lead(ctx, never); !errors.Is(err, context.Canceled) {
			t.Errorf("Lead with a done ctx returns %v", err)
		}
		resign(t, (<-next).Term)
	})
}

// The ctx of f ends before the next candidate is elected, also in a process without a connection.
func TestLeadCtxEndsBeforeNextLeader(t *testing.T) {
	inElection(t, func(t *testing.T, rdb, _ *redis.Client, a, b *mutex.Election) {
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
