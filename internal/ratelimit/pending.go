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
	told        chan struct{} // closed when Acquired was told

	mu            sync.Mutex
	timer         *time.Timer // delivers, and then looks whether that was received
	stopAfterFunc func() bool // ends the watch over ctx; nil if that does not end
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
		close(p.told)
	}
}

// grant tells that the tokens may be used. Mostly that is received at once,
// and the watch over a ctx that lives long must not outlive it; but the receipt
// tells nobody, so that it has to be looked for, ever less often.
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
		<-p.told
		p.reservation.emit(p.ctx, trace.Released, trace.Event{})
	} else {
		p.reservation.Ended(p.ctx, p.wait, false, err)
	}
	p.sink.Send(err)
}
