package lease

import (
	"context"
	"slices"
	"time"
)

// A Wait is one caller's wait for the end of a round: of that which goes on when
// it begins.
type Wait struct {
	op      string
	tracer  *tracer // of what goes wrong
	forever bool    // its ctx never ends

	// Guarded by the mutex of watch, which is set before the Wait can be seen.
	watch      *watch
	prev, next *Wait
	after      int64 // only a look that begins after so many counts for it
	round      int64 // that it waits for, 0 until it is known
	over       bool
	err        error
	ready      chan struct{} // closed when it is over; nil with mail
	mail       Mail
	unhook     func() bool // ends the watch over the ctx of mail
}

// Wait waits until the round is over that goes on at the group, or until ctx ends.
func (s *Session) Wait(ctx context.Context, op string) error {
	x := &Wait{op: op, ready: make(chan struct{})}
	if err := s.await(ctx, x); err != nil {
		return err
	}
	select {
	case <-x.ready:
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		return x.giveUp(ctx)
	}
	return x.err
}

// WaitChan is like Wait, but returns at once and puts the result into mail.
func (s *Session) WaitChan(ctx context.Context, op string, mail Mail) {
	x := &Wait{op: op, mail: mail}
	if err := s.await(ctx, x); err != nil {
		mail.Put(err)
	}
}

func (s *Session) await(ctx context.Context, x *Wait) error {
	if ctx.Err() != nil {
		return &opError{x.op, s.key, ctxError(ctx), nil}
	}
	x.tracer, x.forever = s.tracer(ctx), ctx.Done() == nil
	x.tracer.done()
	topic, err := s.keeper.counter().Topic(s.key)
	if err != nil {
		return &opError{x.op, s.key, Permanent(err), nil}
	}
	for !s.keeper.watchOver(s.key, topic).admit(x) {
	}
	if x.mail != nil && ctx.Done() != nil {
		unhook := context.AfterFunc(ctx, func() { x.giveUp(ctx) })
		x.watch.mu.Lock()
		defer x.watch.mu.Unlock()
		if x.unhook = unhook; x.over {
			unhook()
		}
	}
	return nil
}

// settling is one who holds a change back until the answer to a look is there.
type settling struct {
	look int64 // or one after it
	done chan struct{}
}

// settled waits until those know their round who wait here for the group already.
// Who waits and then makes a change, which may end that round and begin another, would
// else look at the wrong one. While Redis does not answer a look, what is to be
// counted is not held up for longer than a moment. It returns what Redis last failed with.
func (s *Session) settled(ctx context.Context) (redis error) {
	s.keeper.mu.Lock()
	w := s.keeper.watches.M[s.key]
	s.keeper.mu.Unlock()
	if w == nil {
		return nil
	}
	w.mu.Lock()
	if w.tail == nil || w.tail.round != 0 { // the last who came knows its round, and so do all
		w.mu.Unlock()
		return nil
	}
	x := settling{w.tail.after + 1, make(chan struct{})}
	w.settling = append(w.settling, x)
	w.mu.Unlock()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-x.done:
	case <-timer.C:
	case <-ctx.Done():
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.redis
}

// settle lets those go on who have waited for that look. The watch is locked.
func (w *watch) settle(look int64) {
	w.settling = slices.DeleteFunc(w.settling, func(x settling) bool {
		if x.look <= look {
			close(x.done)
		}
		return x.look <= look
	})
}

// giveUp ends the wait for ctx.
func (x *Wait) giveUp(ctx context.Context) error {
	x.watch.mu.Lock()
	defer x.watch.mu.Unlock()
	err := &opError{x.op, x.watch.key, ctxError(ctx), nil}
	if !x.over {
		err.redis = x.watch.redis
		x.end(err)
	}
	return err
}

// end ends the wait, for the reason err if that is not nil. The watch is locked.
func (x *Wait) end(err error) {
	x.watch.remove(x)
	if _, wrapped := err.(*opError); err != nil && !wrapped {
		err = &opError{x.op, x.watch.key, err, nil}
	}
	if x.over, x.err = true, err; x.mail != nil {
		x.mail.Put(err)
	} else {
		close(x.ready)
	}
	if x.unhook != nil {
		x.unhook()
	}
}

// abandoned is what a round ends with that has lost so many tasks.
func abandoned(tasks int64) error {
	if tasks == 0 {
		return nil
	}
	return &AbandonedError{int(tasks)}
}
