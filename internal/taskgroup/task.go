package taskgroup

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/client"
	"github.com/seed-3d5fec5c/baton/internal/retry"
	"github.com/seed-3d5fec5c/baton/internal/trace"
)

// MaxTaskTTL is well below the time for which Redis keeps an idle wait group: the group must outlive
// its tasks, to report that they were abandoned.
const MaxTaskTTL = 12 * time.Hour

// A Task is one task of a wait group's generation. It counts as long as its process renews it, until
// it ends. A nil Task is a lost one.
type Task struct {
	session *Session
	token   string
	ttl     time.Duration
	ctx     context.Context // of Start, for its values
	client.TimerEntry

	mu     sync.Mutex // taken before the manager's
	window client.TrustWindow
	tracer *trace.Tracer
	err    error // once the task has ended: why
	onLoss client.LossContexts
}

// Start adds a task to the group or, with OpClaim, takes over one that has been added already.
func (s *Session) Start(ctx context.Context, opName string, op Op, ttl time.Duration, label string) (*Task, error) {
	t := &Task{session: s, ctx: ctx, ttl: ttl.Truncate(time.Millisecond), tracer: s.tracer(ctx)}
	err := t.start(ctx, opName, op, label)
	if err != nil {
		t.tracer.Failed(err)
	}
	t.tracer.Flush()
	if err != nil {
		return nil, err
	}
	return t, nil
}

func (t *Task) start(ctx context.Context, opName string, op Op, label string) error {
	s := t.session
	switch {
	case t.ttl < client.MinTTL:
		return retry.Wrap(opName, s.key, retry.Permanent(fmt.Errorf("TTL %v is shorter than %v", t.ttl, client.MinTTL)))
	case t.ttl > MaxTaskTTL:
		return retry.Wrap(opName, s.key, retry.Permanent(fmt.Errorf("TTL %v is longer than %v", t.ttl, MaxTaskTTL)))
	}
	for {
		t.token = s.manager.NewToken(t.ttl, label, "")
		got, err := s.update(ctx, opName, Operation{Op: op, Token: t.token, TTL: t.ttl})
		switch {
		case err != nil:
			return err
		case got.Outcome == Rejected:
			return retry.Wrap(opName, s.key, ErrNothingToClaim)
		case got.Outcome == Applied:
			t.startRenewal(client.NewTrustWindow(got.sentAt, t.ttl))
			return nil
		}
		// Redis has counted the task, but the reply took so long that the task counts as abandoned.
		// Start another one.
	}
}

// startRenewal begins to renew a task.
func (t *Task) startRenewal(w client.TrustWindow) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.window = w
	t.schedule()
	t.tracer.Acquired(time.Now(), 0, trace.Immediate)
}

// CheckRenewal ends a task whose window has passed, and returns the renewal of a live one.
func (t *Task) CheckRenewal(now time.Time) (r client.Renewal, renew bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.expire(now); t.err != nil {
		return r, false
	}
	t.schedule()
	return client.Renewal{Name: client.Name{Kind: Kind, Key: t.session.key}, Token: t.token, TTL: t.ttl}, true
}

// BeginRenewal sets the time of the next attempt, counted from now.
func (t *Task) BeginRenewal(time.Time) (_ int64, renew bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err == nil {
		t.schedule()
	}
	return 0, t.err == nil
}

// schedule sets when the renewal timer must check the task. The task is locked.
func (t *Task) schedule() {
	t.session.manager.Schedule(t, t.window, time.Now(), time.Time{})
}

// HandleRenewal handles the reply to a renewal.
func (t *Task) HandleRenewal(_ int64, of client.Renewal, r client.RenewResult, sent time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.err != nil: // over
	case r.Err != nil: // tried again when next due
		t.tracer.RedisError("renew", r.Err)
	case !r.Held:
		t.lose(trace.KeyMissing)
	default:
		t.tracer.Renewed(sent)
		if w := client.NewTrustWindow(sent, of.TTL); w.Remaining(sent) > t.window.Remaining(sent) {
			t.window = w
		}
		t.schedule()
	}
}

// expire ends a task whose window has passed, in case the renewal timer is late.
func (t *Task) expire(now time.Time) {
	if t.err == nil && t.window.Remaining(now) <= 0 {
		t.lose(trace.RenewFailed)
	}
}

// lose ends a task that Redis does not have any more, or may soon end.
func (t *Task) lose(cause string) {
	t.end(ErrTaskLost)
	t.tracer.Lost(cause)
}

// end ends the task here. Its mutex is held.
func (t *Task) end(err error) {
	t.err = err
	t.tracer.End()
	t.session.manager.Unschedule(t)
	t.onLoss.End(lossOf(err))
}

// Done ends the task. It returns ErrTaskLost if the task was lost before, and so counts as abandoned,
// and ErrDone if it had ended before. It is repeated for as long as Redis would have kept the task.
func (t *Task) Done() error { return t.complete(OpDone) }

// Abandon ends a task that will not be done: it counts as abandoned. It returns as Done does.
func (t *Task) Abandon() error { return t.complete(OpAbandon) }

func (t *Task) complete(op Op) error {
	if t == nil {
		return ErrTaskLost
	}
	t.mu.Lock()
	if t.expire(time.Now()); t.err != nil {
		defer t.mu.Unlock()
		return t.wrap(string(op), t.err)
	}
	t.end(ErrDone)
	until := time.Now().Add(t.window.Remaining(time.Now()))
	t.mu.Unlock()
	s := t.session
	before := s.unbound()
	c := s.number(Operation{Op: op, Token: t.token})
	defer s.ack(c.Seq)
	_, err := s.manager.RetryUntil(context.WithoutCancel(t.ctx), until, func(ctx context.Context) (bool, error) {
		got, err := s.send(ctx, c)
		t.tracer.RedisError("update", err)
		if err == nil {
			before.bind(got.Found)
		}
		if err == nil && got.Outcome == TaskAbandoned { // whichever attempt this is: Redis remembers the first
			err = retry.Permanent(ErrTaskLost)
		}
		return true, err
	}, nil)
	switch {
	case err == nil:
	case errors.Is(err, ErrTaskLost):
		err = ErrTaskLost
		t.mu.Lock()
		t.err = err
		t.mu.Unlock()
	default:
		err = retry.Wrap(string(op), s.key, err)
	}
	t.tracer.Released(err, err == ErrTaskLost)
	retry.Repanic(err)
	return t.wrap(string(op), err)
}

// Err returns nil while the task is running, and then why it ended.
func (t *Task) Err() error {
	if t == nil {
		return ErrTaskLost
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expire(time.Now())
	return t.wrap("task", t.err)
}

// wrap returns err with the operation and the key, nil if it is nil.
func (t *Task) wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	return retry.Wrap(op, t.session.key, err)
}

// Context returns a copy of parent that is cancelled, with the cause ErrTaskLost,
// when the task is lost.
func (t *Task) Context(parent context.Context) (context.Context, context.CancelFunc) {
	if t == nil {
		t = &Task{err: ErrTaskLost}
	}
	return t.onLoss.Derive(parent, &t.mu, func() (ended bool, cause error) {
		t.expire(time.Now())
		return t.err != nil, lossOf(t.err)
	})
}

// lossOf returns ErrTaskLost if a task has ended by it, else nil.
func lossOf(err error) error {
	if err == ErrTaskLost {
		return err
	}
	return nil
}
