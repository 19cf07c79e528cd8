package lease

import (
	"context"
	"sync"
	"time"
)

// A waiter has taken its tokens, and waits until they may be used.
type waiter struct {
	draw   Draw
	ctx    context.Context
	bucket Bucket
	mail   Mail

	mu     sync.Mutex
	timer  *time.Timer // delivers, and then looks whether that was received
	unhook func() bool // ends the watch over ctx; nil if that does not end
	state  leaseState  // granted once nil was delivered
}

func (w *waiter) start(wait time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ctx.Done() != nil {
		w.unhook = context.AfterFunc(w.ctx, w.giveUp)
	}
	if wait > 0 {
		w.timer = time.AfterFunc(wait, w.due)
	} else {
		w.deliver()
	}
}

func (w *waiter) due() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state == waiting {
		w.deliver()
	}
}

// deliver tells that the tokens may be used. Mostly that is received at once,
// and the watch over a ctx that lives long must not outlive it; but the receipt
// tells nobody, so that it has to be looked for, ever less often.
func (w *waiter) deliver() {
	w.state = granted
	w.mail.Put(nil)
	if w.unhook != nil {
		w.look(100 * time.Millisecond)
	}
}

func (w *waiter) look(next time.Duration) {
	w.timer = time.AfterFunc(next, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		switch {
		case w.state == ended:
		case w.mail.Received():
			w.unhook()
		default:
			w.look(2 * next)
		}
	})
}

// giveUp is called when ctx has ended.
func (w *waiter) giveUp() {
	w.mu.Lock()
	mine := w.state == waiting || w.mail.TakeBack()
	w.state = ended
	if w.timer != nil {
		w.timer.Stop()
	}
	w.mu.Unlock()
	if mine {
		w.mail.Put(w.draw.giveBack(w.ctx, w.bucket))
	}
}
