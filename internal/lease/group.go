package lease

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// maxConcurrent is for how many of its keys a group asks Redis at the same time.
const maxConcurrent = 128

// A Group is what one caller waits for and then holds on several keys: a lease
// of each, all or none of them. It tries all keys at the same time. If it does not
// get them all it keeps those before the first that it did not get, and waits for
// one after the other from there. What it holds while it waits is always the first
// keys of its order. So no two callers wait for each other if all name their keys
// in the same order. A Group that is handed over is lost when one of its leases is;
// the others are held until Release.
type Group struct {
	ctx  context.Context // of the request
	mail Mail            // where the result goes; nil if it is waited for in a call

	// Set once, before the group is handed over.
	leases []*Lease
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
// has not confirmed that within milliseconds of the end of ctx. The keys must be
// different; that of p is ignored.
func (g *Group) Acquire(ctx context.Context, k *Keeper, p Params, keys []string) error {
	err := g.acquire(ctx, k, p, keys)
	raise(err)
	return err
}

func (g *Group) acquire(ctx context.Context, k *Keeper, p Params, keys []string) error {
	g.ctx, g.maxHold = ctx, p.MaxHold
	p.MaxHold = min(p.MaxHold, 0) // of one lease: renewable counts it from the last grant
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
		mail.Put(g.acquire(ctx, k, p, keys))
		return
	}
	go func() {
		err := g.acquire(ctx, k, p, keys)
		g.mu.Lock()
		g.offered = err == nil
		mail.Put(err)
		g.mu.Unlock()
		if err == nil && g.trial.Err() != nil { // it ended before there was anything to take back
			g.takeBack()
		}
	}()
}

// round tries all keys, and waits for those that it did not get. If one that it has
// is lost meanwhile, it gives all back, and another round must be made.
func (g *Group) round(k *Keeper, p Params, keys []string) (again bool, err error) {
	trial, stop := context.WithCancel(g.ctx)
	leases, others, err := g.try(trial, k, p, keys)
	if !p.Try && !isPanic(err) { // the wait that follows says what is wrong
		k.giveBackAll(trial, others, true)
		others, err = nil, nil
	}
	for _, l := range leases {
		trial, _ = l.Context(trial)
	}
	for len(leases) < len(keys) && err == nil {
		l := new(Lease)
		p.Key = keys[len(leases)]
		if err = <-g.request(trial, l, k, p); err == nil {
			trial, _ = l.Context(trial)
			leases = append(leases, l)
		}
	}
	switch {
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
	k.giveBackAll(g.ctx, append(leases, others...), again || err == ErrLocked || IsPermanent(err))
	stop()
	return again, err
}

// try tries all keys at the same time. It returns the leases of the keys before the
// first that it did not get, the others that it got, and why it did not get that one.
func (g *Group) try(ctx context.Context, k *Keeper, p Params, keys []string) (leases, others []*Lease, err error) {
	if !p.Try && p.Trace != nil { // the wait that follows is the same request, and has its end
		quiet := *p.Trace
		quiet.Failed = nil
		p.Trace = &quiet
	}
	p.Try = true
	for chunk := range slices.Chunk(keys, maxConcurrent) {
		tried, decided := make([]Lease, len(chunk)), make([]<-chan error, len(chunk))
		for i, key := range chunk {
			p.Key = key
			decided[i] = g.request(ctx, &tried[i], k, p)
		}
		for i := range tried {
			switch e := <-decided[i]; {
			case e == nil && err == nil:
				leases = append(leases, &tried[i])
			case e == nil:
				others = append(others, &tried[i])
			case err == nil || isPanic(e):
				err = e
			}
		}
		if err != nil {
			break
		}
	}
	return leases, others, err
}

// request asks for one lease, and returns the channel of the result.
func (g *Group) request(ctx context.Context, l *Lease, k *Keeper, p Params) <-chan error {
	sink := member{g, make(chan error, 1)}
	l.AcquireChan(ctx, k, &p, sink)
	return sink.decided
}

// giveBackAll releases leases that are not wanted. It waits until that is confirmed,
// but only a moment once ctx has ended, or if it is not to be patient.
func (k *Keeper) giveBackAll(ctx context.Context, leases []*Lease, patient bool) {
	if len(leases) == 0 {
		return
	}
	confirmed := make(chan struct{})
	go func() {
		_ = releaseAll(leases)
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

// releaseAll releases leases, all at the same time. A loss is worse news than that
// Redis did not confirm, and a panic of the client is the worst.
func releaseAll(leases []*Lease) error {
	errs, todos := make([]error, len(leases)), make([]errand, len(leases))
	for i, l := range leases {
		todos[i], _, errs[i] = l.let(0)
	}
	for from := 0; from < len(leases); from += maxConcurrent {
		var wg sync.WaitGroup
		for i := from; i < min(from+maxConcurrent, len(leases)); i++ {
			if l := leases[i]; errs[i] == nil {
				wg.Go(func() { errs[i] = l.told(true, l.line.do(todos[i])) })
			}
		}
		wg.Wait()
	}
	if err := errors.Join(errs...); isPanic(err) || !errors.Is(err, ErrLost) {
		return err
	}
	return ErrLost
}
