package lease

import (
	"context"
	"fmt"
	"time"
)

// Wait takes the tokens, and returns when they may be used. If ctx ends before,
// or is known to, it gives them back, or takes none.
func (d Draw) Wait(ctx context.Context, b Bucket) error {
	wait, err := d.reserve(ctx, b)
	if err != nil {
		return err
	}
	if wait > 0 {
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
	if ctx.Err() == nil {
		return nil
	}
	return d.giveBack(ctx, b)
}

// reserve takes the tokens and returns when they may be used, from the moment at
// which it is told: so nobody is early, whatever the way from Redis takes.
func (d Draw) reserve(ctx context.Context, b Bucket) (time.Duration, error) {
	if ctx.Err() != nil { // nothing was taken, so that there is nothing to give back
		return 0, &opError{d.Op, d.Key, ctxError(ctx), nil}
	}
	deadline, ends := ctx.Deadline()
	turn, err := Call(ctx, d.Op, d.Key, true, func(ctx context.Context) (Turn, error) {
		d := d
		if d.Longest = Forever; ends {
			d.Longest = max(time.Until(deadline), 0)
		}
		return b.Take(ctx, d)
	})
	switch {
	case ctx.Err() != nil:
		if err == nil {
			return 0, d.giveBack(ctx, b)
		}
		_ = d.giveBack(ctx, b)
		return 0, err
	case err != nil:
		return 0, err
	case ends && turn.Wait > time.Until(deadline):
		if turn.Taken { // by an earlier request, when there was time enough
			_ = d.giveBack(ctx, b)
		}
		return 0, &opError{d.Op, d.Key, fmt.Errorf("%d would have to wait %v: %w", d.N, turn.Wait, context.DeadlineExceeded), nil}
	case !turn.Taken:
		return 0, &opError{d.Op, d.Key, Permanent(fmt.Errorf("%d would have to wait for ever", d.N)), nil}
	}
	return turn.Wait, nil
}

// giveBack gives the tokens back, and waits a moment for Redis to hear of it, so
// that a program may exit at once thereafter. It returns why ctx has ended.
func (d Draw) giveBack(ctx context.Context, b Bucket) error {
	give := func(ctx context.Context) error { return insist(b.Return(ctx, d)) }
	d.Refunds.tell(backlogCall{ctx, give, time.Now().Add(Memory), func() {}})
	if ctx.Err() == nil {
		return nil
	}
	return &opError{d.Op, d.Key, ctxError(ctx), nil}
}

// WaitChan is like Wait, but returns at once and puts the result into mail. A
// goroutine asks Redis; the wait that follows has none.
func (d Draw) WaitChan(ctx context.Context, b Bucket, mail Mail) {
	if ctx.Err() != nil { // here, so that a nil ctx panics where its caller can see it
		mail.Put(&opError{d.Op, d.Key, ctxError(ctx), nil})
		return
	}
	go func() {
		wait, err := d.reserve(ctx, b)
		if err != nil {
			mail.Put(err)
			return
		}
		w := &waiter{draw: d, ctx: ctx, bucket: b, mail: mail}
		w.start(wait)
	}()
}
