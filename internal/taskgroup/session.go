package taskgroup

import (
	"context"
	"sync"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/client"
	"github.com/seed-3d5fec5c/baton/internal/retry"
	"github.com/seed-3d5fec5c/baton/internal/trace"
)

const (
	// outcomeRetention is how long Redis surely knows an operation after its last use.
	outcomeRetention = time.Hour
	// undoTimeout limits how long the undo of an operation is repeated whose caller has gone.
	undoTimeout = time.Minute
)

// A Session numbers the operations of one process on one wait group, so that Redis counts none of
// them twice. It also states up to which number they are finished: Redis need not remember these.
type Session struct {
	manager *Manager
	key     string
	id      string
	// Trace returns the Trace of tasks and of failed requests. It may be nil.
	Trace func() trace.Trace

	mu           sync.Mutex
	lastSeq      int64                       // the last number used
	ackedThrough int64                       // all up to this one are finished
	acked        client.Map[int64, struct{}] // later ones that are finished, too
}

// number numbers an operation.
func (s *Session) number(c Operation) Operation {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastSeq++
	c.Key, c.Session, c.Seq = s.key, s.id, s.lastSeq
	return c
}

// ack notes that an operation is finished: a copy that comes later counts nothing.
func (s *Session) ack(seq int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acked.Set(seq, struct{}{})
	for {
		if _, ok := s.acked.Entries[s.ackedThrough+1]; !ok {
			return
		}
		s.ackedThrough++
		s.acked.Delete(s.ackedThrough)
	}
}

// timedOutcome is a reply, with the time just before its request was sent.
type timedOutcome struct {
	UpdateReply
	sentAt time.Time
}

// send sends an operation once.
func (s *Session) send(ctx context.Context, c Operation) (timedOutcome, error) {
	s.mu.Lock()
	c.AckedThrough = s.ackedThrough
	s.mu.Unlock()
	sentAt := time.Now()
	reply, err := s.manager.store.UpdateGroup(ctx, c)
	if err == nil && reply.Outcome == Superseded && c.Op != OpUndo {
		err = retry.Permanent(errSuperseded)
	}
	return timedOutcome{reply, sentAt}, err
}

// tracer returns the tracer of one call.
func (s *Session) tracer(ctx context.Context) *trace.Tracer {
	if s.Trace == nil {
		return nil
	}
	return trace.New(ctx, s.Trace(), trace.Event{Key: s.key, Weight: 1})
}

// redisError emits a failed attempt before that attempt returns.
func (s *Session) redisError(ctx context.Context, opName string, err error) {
	if err != nil {
		t := s.tracer(ctx)
		t.RedisError(opName, err)
		t.Flush()
	}
}

// Update executes an operation. If it fails, nothing has changed: an operation whose ctx has ended is
// undone. The undo may come too late if the operation ended the generation.
func (s *Session) Update(ctx context.Context, opName string, c Operation) (Outcome, error) {
	got, err := s.update(ctx, opName, c)
	return got.Outcome, err
}

func (s *Session) update(ctx context.Context, opName string, c Operation) (timedOutcome, error) {
	before := s.unbound()
	if ctx.Err() != nil { // nothing was sent, so there is nothing to undo
		return timedOutcome{}, retry.Wrap(opName, s.key, retry.CtxError(ctx))
	}
	c = s.number(c)
	first := time.Now()
	got, err := retry.Do(ctx, opName, s.key, true, func(ctx context.Context) (timedOutcome, error) {
		if time.Since(first) > outcomeRetention {
			return timedOutcome{}, retry.Permanent(ErrOutcomeUnknown)
		}
		got, err := s.send(ctx, c)
		s.redisError(ctx, "update", err)
		if err == nil && got.Outcome == Applied && c.TTL > 0 && client.NewTrustWindow(got.sentAt, c.TTL).Remaining(time.Now()) <= 0 {
			err = retry.ErrReplyTooLate
		}
		return got, err
	})
	if err != nil && ctx.Err() != nil {
		s.undo(ctx, c)
	} else {
		s.ack(c.Seq)
	}
	if err == nil {
		before.bind(got.Found)
	}
	return got, err
}

// undo undoes an operation whose ctx has ended. It waits a moment until Redis has executed the undo,
// so that a program may exit at once.
func (s *Session) undo(ctx context.Context, c Operation) {
	c.Op = OpUndo
	send := func(ctx context.Context) error {
		_, err := s.send(ctx, c)
		s.redisError(ctx, "update", err)
		return retry.UnmarkDenied(err)
	}
	end := func() { s.ack(c.Seq) } // even if Redis has not executed it
	s.manager.Backlog.Try(ctx, send, time.Now().Add(undoTimeout), end)
}

// Inspect asks what Redis knows of the group, once, and returns within milliseconds of the end
// of ctx.
func (s *Session) Inspect(ctx context.Context) (Status, error) {
	return retry.Do(ctx, "inspect", s.key, false, func(ctx context.Context) (Status, error) {
		return s.manager.store.InspectGroup(ctx, s.key)
	})
}
