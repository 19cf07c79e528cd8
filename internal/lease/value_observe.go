package lease

import (
	"context"
	"sync"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/retry"
	"github.com/seed-3d5fec5c/baton/internal/trace"
)

// A valuePoller polls the value beside one mutex for all its observers in this process. It has
// one goroutine, while there are observers.
type valuePoller struct {
	manager *Manager
	store   ValueStore
	key     string
	wakeup  chan struct{} // poll at once

	mu        sync.Mutex // taken before the manager's
	removed   bool       // the manager has dropped it: look the key up again
	observers map[*valueObserver]struct{}
	polls     int64 // begun so far
	newest    int64 // the highest fence of a value that observers have seen
	errStreak retry.Streak
}

// A valueObserver is one caller that observes a value until its ctx ends.
type valueObserver struct {
	ValueHandler
	tracer         *trace.Tracer // of what goes wrong
	neverCancelled bool          // its ctx never ends
	minPoll        int64         // only a poll that begins after so many counts for it
	stopAfterFunc  func() bool
}

// A ValueHandler receives what polls have found, and the end. The calls must not block.
type ValueHandler interface {
	// HandleValue receives the reply of a poll, whose Value is that of the present holder, or nil.
	HandleValue(r ValueReply)
	// Close is the last call: ctx has ended, or Redis has failed for good.
	Close()
}

// ObserveValue reports the value of the holder of the mutex at p.Key to h, after each poll, until
// ctx ends.
func (m *Manager) ObserveValue(ctx context.Context, s ValueStore, p *Params, h ValueHandler) {
	channel, err := s.ValueChannel(p.Key)
	if err != nil || ctx.Err() != nil {
		h.Close()
		return
	}
	o := &valueObserver{ValueHandler: h, tracer: newTracer(ctx, p), neverCancelled: ctx.Done() == nil}
	o.tracer.Flush()
	for !m.valuePollerFor(s, p.Key, channel).add(ctx, o) {
	}
}

// valuePollerFor returns the poller of the key.
func (m *Manager) valuePollerFor(s ValueStore, key, channel string) *valuePoller {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.valuePollers.Entries[key]
	if p == nil {
		p = &valuePoller{manager: m, store: s, key: key, wakeup: make(chan struct{}, 1), observers: map[*valueObserver]struct{}{}}
		m.valuePollers.Set(key, p)
		go p.run(channel)
	}
	return p
}

// add takes in an observer, unless the poller has gone in the meantime.
func (p *valuePoller) add(ctx context.Context, o *valueObserver) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.removed {
		return false
	}
	p.observers[o], o.minPoll = struct{}{}, p.polls
	o.stopAfterFunc = context.AfterFunc(ctx, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.remove(o)
	})
	p.wake()
	return true
}

// remove ends an observer. The poller is locked.
func (p *valuePoller) remove(o *valueObserver) {
	if _, ok := p.observers[o]; ok {
		delete(p.observers, o)
		o.stopAfterFunc()
		o.Close()
		if len(p.observers) == 0 {
			p.wake()
		}
	}
}

func (p *valuePoller) wake() {
	select {
	case p.wakeup <- struct{}{}:
	default:
	}
}

// run polls until nobody observes.
func (p *valuePoller) run(channel string) {
	watch := p.manager.WatchValue(p.key, channel)
	defer watch.Stop()
	fast, slow := retry.NewBackoff(10*time.Millisecond, 0.5), retry.NewBackoff(MaxPollInterval, 0.1)
	for {
		poll, observed := p.beginPoll()
		if !observed {
			return
		}
		reply, err := p.store.ReadValue(context.Background(), p.key)
		p.handlePoll(poll, reply, err)
		wait := slow.NextBackOff()
		if err != nil || !watch.Subscribed() {
			wait = fast.NextBackOff()
		} else {
			fast.Reset()
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-watch.C():
		case <-p.wakeup:
		}
		timer.Stop()
	}
}

// beginPoll numbers a poll. If there are no observers, it removes the poller.
func (p *valuePoller) beginPoll() (poll int64, observed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.observers) == 0 {
		p.removed = true
		p.manager.mu.Lock()
		defer p.manager.mu.Unlock()
		p.manager.valuePollers.Delete(p.key)
		return 0, false
	}
	p.polls++
	return p.polls, true
}

// handlePoll reports what a poll has found to the observers that came before it.
func (p *valuePoller) handlePoll(poll int64, reply ValueReply, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	lasts := p.errStreak.Exceeds(retry.UnknownLimit, err)
	reply.Value = reply.HolderValue()
	switch v := reply.Value; {
	case v == nil:
	case v.Fence < p.newest: // of an earlier term: the server has forgotten the later one
		reply.Value = nil
	default:
		p.newest = v.Fence
	}
	for o := range p.observers {
		o.tracer.RedisError("status", err)
		switch {
		case retry.IsPermanent(err), lasts && o.neverCancelled:
			p.remove(o)
		case err == nil && o.minPoll < poll:
			o.HandleValue(reply)
		}
	}
}

// HolderValue returns the value, if it is of the present holder of the mutex, else nil.
func (r ValueReply) HolderValue() *Value {
	if r.Value == nil || r.Holder.Token == "" || r.Value.Writer.Token != r.Holder.Token {
		return nil
	}
	return r.Value
}
