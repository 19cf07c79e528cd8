package ratelimit

import (
	"context"
	"sync"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/result"
	"github.com/seed-3d5fec5c/baton/internal/trace"
)

type pendingState uint8

const (
	waiting pendingState = iota
	granted              // nil was delivered
	ended                // given back
)

// A pendingReservation has taken its tokens, and waits until they may be used.
type pendingReservation struct {
	reservation Reservation
	ctx         context.Context
	store       Store
	sink        result.Sink
	wait        time.Duration
	emitted     chan struct{} // closed after the event Acquired

	mu            sync.Mutex
	timer         *time.Timer // delivers, and then checks whether the result was received
	stopAfterFunc func() bool // stops the context.AfterFunc of ctx; nil if ctx never ends
	state         pendingState
}

func (p *pendingReservation) start(wait time.Duration) {
	p.mu.Lock()
	if p.ctx.Done() != nil {
		p.stopAfterFunc = context.AfterFunc(p.ctx, p.cancel)
	}
	if wait > 0 {
		p.timer = time.AfterFunc(wait, p.fire)
	}
	p.mu.Unlock()
	if wait == 0 {
		p.fire()
	}
}

func (p *pendingReservation) fire() {
	p.mu.Lock()
	granted := p.state == waiting
	if granted {
		p.grant()
	}
	p.mu.Unlock()
	if granted {
		p.reservation.Ended(p.ctx, p.wait, true, nil)
		close(p.emitted)
	}
}

// grant delivers the tokens. The context.AfterFunc must not stay on a ctx that lives long after the
// result was received. A receive causes no event, so a timer checks for it, less and less often.
func (p *pendingReservation) grant() {
	p.state = granted
	p.sink.Send(nil)
	if p.stopAfterFunc != nil {
		p.pollReceived(100 * time.Millisecond)
	} else {
		p.reservation.used()
	}
}

func (p *pendingReservation) pollReceived(next time.Duration) {
	p.timer = time.AfterFunc(next, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		switch {
		case p.state == ended:
		case p.sink.Received():
			if p.stopAfterFunc() {
				p.reservation.used()
			}
		default:
			p.pollReceived(2 * next)
		}
	})
}

// cancel is called when ctx has ended.
func (p *pendingReservation) cancel() {
	p.mu.Lock()
	delivered := p.state == granted
	cancelled := p.state == waiting || p.sink.Revoke()
	p.state = ended
	if p.timer != nil {
		p.timer.Stop()
	}
	p.mu.Unlock()
	if !cancelled {
		return
	}
	err := p.reservation.refund(p.ctx, p.store)
	if delivered {
		<-p.emitted
		p.reservation.emit(p.ctx, trace.Released, trace.Event{})
	} else {
		p.reservation.Ended(p.ctx, p.wait, false, err)
	}
	p.sink.Send(err)
}
