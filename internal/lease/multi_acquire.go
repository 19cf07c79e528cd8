package lease

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/result"
	"github.com/seed-3d5fec5c/baton/internal/retry"
)

// maxConcurrent is the number of keys for which a MultiLease sends requests at the same time.
const maxConcurrent = 128

// A MultiLease is what one caller waits for and then holds on several keys: a lease of each, all or
// none of them. It tries all keys at the same time. If it does not get them all, it keeps the keys
// before the first that it did not get, and waits for one after the other from there. While it waits
// it holds only the first keys of its order. So no two callers wait for each other if all name their
// keys in the same order. A MultiLease that is delivered is lost when one of its leases is; the
// others are held until Release.
//
// Each key has requests of its own. One script for 10,000 keys would block the server for a third of
// a second, and a proxy would send it to the node of the first key.
type MultiLease struct {
	ctx  context.Context // of the request
	sink result.Sink     // where the result goes; nil if it is waited for in a call

	// Set once, before the MultiLease is handed over.
	leases     []*Lease
	holdCtx    context.Context // ends with ctx, and with the loss of a lease
	cancelHold func()          // ends holdCtx

	once sync.Once
	done <-chan struct{} // made when first asked for

	mu        sync.Mutex // may be taken under that of a queue, never the other way round
	grantedAt time.Time  // when the last lease was granted
	maxHold   time.Duration
	delivered bool // the MultiLease is in sink, or was received
	revoked   bool // it was taken out of sink again
	released  bool
	closeDone func() // closes done; nil if nobody asked for that

	contention *contentionSignal // made when first asked for
}

// Acquire waits for a lease of each key, in the order given, until ctx ends. A try asks for each
// once. If it fails, nothing is held when it returns, unless Redis has not confirmed that within
// milliseconds of the end of ctx. The keys must be different. The key of p is ignored.
func (ml *MultiLease) Acquire(ctx context.Context, m *Manager, p Params, keys []string) error {
	err := ml.acquire(ctx, m, p, keys)
	retry.Repanic(err)
	return err
}

func (ml *MultiLease) acquire(ctx context.Context, m *Manager, p Params, keys []string) error {
	ml.ctx, ml.maxHold = ctx, p.MaxHold
	p.MaxHold = min(p.MaxHold, 0) // of one lease: renewable counts it from the last grant
	for {
		if again, err := ml.acquireOnce(m, p, keys); !again {
			return err
		}
	}
}

// AcquireChan is like Acquire, but returns at once and puts the result into sink. Its goroutine ends
// when the result is there.
func (ml *MultiLease) AcquireChan(ctx context.Context, m *Manager, p Params, keys []string, sink result.Sink) {
	ml.sink = sink
	if ctx.Err() != nil { // here, so that a nil ctx panics where its caller can see it
		sink.Send(ml.acquire(ctx, m, p, keys))
		return
	}
	go func() {
		err := ml.acquire(ctx, m, p, keys)
		ml.mu.Lock()
		ml.delivered = err == nil
		sink.Send(err)
		ml.mu.Unlock()
		if err == nil && ml.holdCtx.Err() != nil { // it ended before there was anything to take back
			ml.revoke()
		}
	}()
}

// acquireOnce tries all keys, and waits for those that it did not get. If a key that it has is lost
// meanwhile, it releases all, and the caller must try again.
func (ml *MultiLease) acquireOnce(m *Manager, p Params, keys []string) (again bool, err error) {
	holdCtx, cancelHold := context.WithCancel(ml.ctx)
	leases, others, err := ml.tryAll(holdCtx, m, p, keys)
	if !p.Try && !retry.IsPanic(err) { // the wait that follows reports the error
		ml.releaseUnwanted(holdCtx, others, true)
		others, err = nil, nil
	}
	for _, l := range leases {
		holdCtx, _ = l.Context(holdCtx)
	}
	for len(leases) < len(keys) && err == nil {
		l := new(Lease)
		p.Key = keys[len(leases)]
		if err = <-ml.request(holdCtx, l, m, p); err == nil {
			holdCtx, _ = l.Context(holdCtx)
			leases = append(leases, l)
		}
	}
	switch {
	case err == nil && holdCtx.Err() == nil:
		ml.mu.Lock()
		defer ml.mu.Unlock()
		ml.leases, ml.holdCtx, ml.cancelHold, ml.grantedAt = leases, holdCtx, cancelHold, time.Now()
		return false, nil
	case err != nil && !errors.Is(err, ErrLost): // a reason of its own
	case ml.ctx.Err() != nil:
		p.Key = keys[0]
		err = p.wrap(retry.CtxError(ml.ctx))
	default:
		again = true
	}
	// To be sure of it takes as long as Redis is away: too long for a try.
	ml.releaseUnwanted(ml.ctx, append(leases, others...), again || errors.Is(err, ErrLocked) || errors.Is(err, ErrUnconfirmed) || retry.IsPermanent(err))
	cancelHold()
	return again, err
}

// tryAll tries all keys at the same time. It returns the leases of the keys before the
// first that it did not get, the others that it got, and why it did not get that one.
func (ml *MultiLease) tryAll(ctx context.Context, m *Manager, p Params, keys []string) (leases, others []*Lease, err error) {
	if !p.Try && p.Trace != nil { // the wait that follows is the same request, and has its end
		p.Trace = withoutFailed{p.Trace}
	}
	p.Try = true
	for chunk := range slices.Chunk(keys, maxConcurrent) {
		tried, decided := make([]Lease, len(chunk)), make([]<-chan error, len(chunk))
		for i, key := range chunk {
			p.Key = key
			decided[i] = ml.request(ctx, &tried[i], m, p)
		}
		for i := range tried {
			switch e := <-decided[i]; {
			case e == nil && err == nil:
				leases = append(leases, &tried[i])
			case e == nil:
				others = append(others, &tried[i])
			case err == nil || retry.IsPanic(e):
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
func (ml *MultiLease) request(ctx context.Context, l *Lease, m *Manager, p Params) <-chan error {
	sink := memberSink{ml, make(chan error, 1)}
	l.AcquireChan(ctx, m, &p, sink)
	return sink.decided
}

// releaseUnwanted releases leases that are not needed. With wait, it waits until Redis has confirmed
// that or ctx ends; after that, and without wait, a moment only.
func (ml *MultiLease) releaseUnwanted(ctx context.Context, leases []*Lease, wait bool) {
	if len(leases) == 0 {
		return
	}
	for _, l := range leases {
		l.queue.mu.Lock()
		l.lingering &= wantsNotice
		l.queue.mu.Unlock()
	}
	confirmed := make(chan struct{})
	go func() {
		_ = releaseAll(leases)
		close(confirmed)
	}()
	if wait {
		select {
		case <-confirmed:
			return
		case <-ctx.Done():
		}
	}
	leases[0].queue.manager.Backlog.WaitBriefly(confirmed, cancelTimeout(ml.sink))
}

// releaseAll releases leases, all at the same time. It reports a panic of the client rather than a
// loss, and a loss rather than a missing confirmation.
func releaseAll(leases []*Lease) error {
	errs, todos := make([]error, len(leases)), make([]pendingCall, len(leases))
	for i, l := range leases {
		todos[i], _, errs[i] = l.detach(0)
	}
	for from := 0; from < len(leases); from += maxConcurrent {
		var wg sync.WaitGroup
		for i := from; i < min(from+maxConcurrent, len(leases)); i++ {
			if l := leases[i]; errs[i] == nil {
				wg.Go(func() { errs[i] = l.releaseResult(true, l.queue.run(todos[i])) })
			}
		}
		wg.Wait()
	}
	if err := errors.Join(errs...); retry.IsPanic(err) {
		return err
	}
	for i, err := range errs {
		if errors.Is(err, ErrLost) {
			return leases[i].wrapRelease(ErrLost)
		}
	}
	return errors.Join(errs...)
}
