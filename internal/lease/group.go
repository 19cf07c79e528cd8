package lease

import (
	"context"
	"errors"
	"sync"
	"time"
)

// A Group is what one caller waits for and then holds on several keys: a lease
// of each, all or none of them. It takes them one after the other, so that no two
// callers wait for each other if all name their keys in the same order; what it
// has it keeps, and renews, while it waits for the next. In the hand of its
// caller it is lost when one of its leases is; the others are held until Release.
type Group struct {
	ctx   context.Context // of the request
	mail  Mail            // where the result goes; nil if it is waited for in a call
	apart bool            // its keys are to be asked for one by one

	// Set once, before the group is handed over.
	leases []Lease
	trial  context.Context // ends with ctx, and with the loss of a lease
	stop   func()          // ends trial

	once sync.Once
	done <-chan struct{} // made when first asked for

	mu       sync.Mutex // may be taken under that of a line, never the other way round
	since    time.Time  // when the last lease was granted
	maxHold  time.Duration
	offered  bool // the group lies in mail, or has been received
	back     bool // it was taken out of mail again
	released bool
	end      func() // closes done; nil if nobody asked for that
}

// Acquire waits for a lease of each key, in the order given, until ctx ends. A
// try asks for each once. If it fails nothing is held when it returns, unless Redis
// has not confirmed that within milliseconds of the end of ctx. The keys are to be
// different; that of p is of no interest.
func (g *Group) Acquire(ctx context.Context, k *Keeper, p Params, keys []string) error {
	g.ctx, g.maxHold = ctx, p.MaxHold
	for {
		if again, err := g.round(k, p, keys); !again {
			return err
		}
	}
}

// AcquireChan is like Acquire, but returns at once and puts the result into mail.
// Its goroutine ends when it has.
func (g *Group) AcquireChan(ctx context.Context, k *Keeper, p Params, keys []string, mail Mail) {
	g.mail = mail
	if ctx.Err() != nil { // here, so that a nil ctx panics where its caller can see it
		mail.Put(g.Acquire(ctx, k, p, keys))
		return
	}
	go func() {
		err := g.Acquire(ctx, k, p, keys)
		g.mu.Lock()
		g.offered = err == nil
		mail.Put(err)
		g.mu.Unlock()
		if err == nil && g.trial.Err() != nil { // it ended before there was anything to take back
			g.takeBack()
		}
	}()
}

// round asks for one lease after the other. If one that it has is lost while it
// waits for the next, it gives all back, and another round is to be made.
func (g *Group) round(k *Keeper, p Params, keys []string) (again bool, err error) {
	leases := make([]Lease, len(keys))
	trial, stop := context.WithCancel(g.ctx)
	taken := 0
	for taken < len(keys) && err == nil {
		n := 1
		if n = g.run(k, keys[taken:]); n > 1 {
			err = g.takeRun(trial, leases[taken:taken+n], k, p, keys[taken:])
		} else {
			p.Key = keys[taken]
			err = g.take(trial, &leases[taken], k, p)
		}
		for ; err == nil && n > 0; n-- {
			trial, _ = leases[taken].Context(trial)
			taken++
		}
	}
	switch {
	case errors.Is(err, errApart):
		g.apart, again = true, true
	case err == nil && trial.Err() == nil:
		g.mu.Lock()
		defer g.mu.Unlock()
		g.leases, g.trial, g.stop, g.since = leases, trial, stop, time.Now()
		return false, nil
	case err != nil && !errors.Is(err, ErrLost): // a reason of its own
	case g.ctx.Err() != nil:
		p.Key = keys[0]
		err = p.wrap(ctxError(g.ctx))
	default:
		again = true
	}
	// To be sure of it takes as long as Redis is away: too long for a try.
	k.giveBackAll(g.ctx, leases[:taken], again || err == ErrLocked || IsPermanent(err))
	stop()
	return again, err
}

// take waits for one lease.
func (g *Group) take(ctx context.Context, l *Lease, k *Keeper, p Params) error {
	if p.Try { // so that the first is hardly older than the last
		return l.Acquire(ctx, k, &p)
	}
	p.MaxHold = min(p.MaxHold, 0) // it counts from the last grant: see renewable
	m := member{g, make(chan error, 1)}
	l.AcquireChan(ctx, k, &p, m)
	return <-m.decided
}

// run is how many of the keys can be asked for in one step.
func (g *Group) run(k *Keeper, keys []string) int {
	store, ok := k.store.(Together)
	n := 1
	for ok && !g.apart && n < len(keys) && store.Joins(keys[n-1], keys[n]) {
		n++
	}
	return n
}

// takeRun waits for several leases that are asked for in one step.
func (g *Group) takeRun(ctx context.Context, leases []Lease, k *Keeper, p Params, keys []string) (err error) {
	p.MaxHold = min(p.MaxHold, 0)
	decided := make([]chan error, len(leases))
	for i := range leases {
		p.Key = keys[i]
		err := leases[i].init(ctx, &p)
		leases[i].tracer.done()
		if err != nil {
			return err
		}
		decided[i] = make(chan error, 1)
		leases[i].mail = member{g, decided[i]}
	}
	if !k.takeTogether(k.store.(Together), leases, keys) {
		return errApart
	}
	had := false
	for i := range leases {
		select {
		case e := <-decided[i]:
			if had = had || e == nil; e != nil && (err == nil || errors.Is(err, errApart)) {
				err = e
			}
		case <-ctx.Done():
			k.backlog.awhile(func() { _ = endAll(leases, func(l *Lease) (errand, error) { return l.withdraw(ctx) }) })
			p.Key = keys[i]
			return p.wrap(ctxError(ctx))
		}
	}
	if err != nil && had { // some may have been lost already
		k.giveBackAll(ctx, leases, false)
	} else if err == nil && g.mail != nil { // whatever gives one back gives back all
		leases[0].watch(ctx)
	}
	return err
}

// giveBackAll releases leases that are not wanted. It waits until that is confirmed,
// but only a moment once ctx has ended, or if it is not to be patient.
func (k *Keeper) giveBackAll(ctx context.Context, leases []Lease, patient bool) {
	if len(leases) == 0 {
		return
	}
	confirmed := make(chan struct{})
	go func() {
		_ = release(leases)
		close(confirmed)
	}()
	if patient {
		select {
		case <-confirmed:
			return
		case <-ctx.Done():
		}
	}
	k.backlog.moment(confirmed)
}
