package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// crash is a row: a process that holds locks is killed while others wait.
type crash struct {
	name    string
	ttl     time.Duration
	results map[string]*crashResult
}

// crashResult is in ms from the expiry of a key to the next holder's grant.
type crashResult struct {
	after series
	early int // granted before the expiry
}

const (
	// crashed is how many locks the process holds, each waited for by one
	// goroutine, and thus how many samples there are in a round.
	crashed = 8
	// apart is the time between them, so that they do not all expire at once.
	apart = 15 * time.Millisecond
)

func newCrash(name, shape string) (row, error) {
	d, err := time.ParseDuration(cmp.Or(shape, "1s"))
	return &crash{name, d, map[string]*crashResult{}}, err
}

func (r *crash) round(ctx context.Context, b *bench, n int) error {
	for _, sys := range rotated(b.having(system.contends), n) {
		if err := b.missed(ctx, r.name, sys.name, r.measure(ctx, b, sys)); err != nil {
			return err
		}
	}
	return nil
}

// measure waits in this process, so that one clock times the expiry and the
// grant.
func (r *crash) measure(ctx context.Context, b *bench, sys system) error {
	c, err := sys.open(b.server.Addr(), r.ttl)
	if err != nil {
		return err
	}
	defer c.close()
	if err := warm(c, "warm"); err != nil {
		return err
	}
	j := job{Task: "hold", System: sys.name, Key: "crash", Keys: crashed, TTL: r.ttl, Hold: apart, Duration: time.Minute}
	// Before that no lock can be free.
	soonest := time.Now().Add(r.ttl)
	return b.staff(ctx, 1, j, func(f *fleet, _ *sharedMem) error {
		ctx, cancel := context.WithTimeout(ctx, startTimeout+r.ttl)
		defer cancel()
		granted, errs := make([]time.Time, crashed), make([]error, crashed)
		var wg sync.WaitGroup
		for i := range crashed {
			wg.Go(func() {
				h := c.handle(keyOf(j.Key, i))
				if errs[i] = h.lock(ctx); errs[i] == nil {
					granted[i] = time.Now()
					errs[i] = h.unlock()
				}
			})
		}
		time.Sleep(r.ttl / 5) // until they wait
		f.end()
		asked := time.Now()
		left, err := expiries(ctx, b.server.admin, sys, j.Key, crashed)
		answered := time.Now()
		wg.Wait()
		if err := errors.Join(append(errs, err)...); err != nil {
			return err
		}
		x := r.results[sys.name]
		if x == nil {
			x = new(crashResult)
			r.results[sys.name] = x
		}
		for i, d := range left {
			x.add(asked, answered, d, granted[i], soonest)
		}
		return nil
	})
}

// add takes a sample, of a lock which Redis said, between asked and answered,
// to be held for another d.
func (x *crashResult) add(asked, answered time.Time, d time.Duration, granted, soonest time.Time) {
	expires := asked.Add(d) // at the earliest
	if granted.Before(asked) {
		expires = soonest // for d is what the next holder has
	}
	switch {
	case granted.Before(expires.Add(-time.Millisecond)): // Redis counts in whole ones
		x.early++
	case d > 0 && !granted.Before(asked):
		expires = expires.Add(answered.Sub(asked) / 2)
		x.after = append(x.after, micros(granted.Sub(expires))/1000)
	}
}

func (r *crash) report(b *bench) []table {
	t := table{
		title: fmt.Sprintf("%s: a process holding %d locks is killed, TTL %v; from the expiry to the next holder", r.name, crashed, r.ttl),
		head:  []string{"system", "median ms", "best", "worst", "samples", "exclusion"},
	}
	for _, sys := range b.systems {
		x := r.results[sys.name]
		if x == nil || len(x.after) == 0 {
			continue
		}
		verdict := "held"
		if x.early > 0 {
			verdict = fmt.Sprintf("BROKEN, %d before the expiry", x.early)
		}
		t.add(sys.name, x.after.cell(), number(slices.Min(x.after)), number(slices.Max(x.after)), fmt.Sprint(len(x.after)), verdict)
	}
	return []table{t}
}

func (r *crash) targets(*bench) []target {
	x := cmp.Or(r.results["baton"], new(crashResult))
	return []target{{row: r.name, what: "ms from the expiry to the next holder", got: x.after, limit: 50}}
}
