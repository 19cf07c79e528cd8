package lease

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// opError says what failed, on which key, and with what Redis' last answer was.
type opError struct {
	op, key string
	err     error
	redis   error // nil if Redis was well
}

func (e *opError) Error() string {
	text := fmt.Sprintf("baton: %s %q: %s", e.op, e.key, strings.TrimPrefix(e.err.Error(), "baton: "))
	if e.redis != nil {
		text += fmt.Sprintf(" (Redis: %v)", e.redis)
	}
	return text
}

func (e *opError) Unwrap() []error {
	if e.redis == nil {
		return []error{e.err}
	}
	return []error{e.err, e.redis}
}

// wrap names the operation and the key, but leaves the sentinels as they are.
func (l *Lease) wrap(err, redis error) error {
	if err == nil || err == ErrLocked || err == ErrLost || err == ErrReleased {
		return err
	}
	if _, wrapped := err.(*opError); wrapped {
		return err
	}
	name := l.line.name
	return &opError{opOf(name.Kind, l.try, l.shared), name.Key, err, redis}
}

// wrap is as that of a lease which has no line yet.
func (p *Params) wrap(err error) error {
	return &opError{opOf(p.Kind, p.Try, p.Shared), p.Key, err, nil}
}

// errNoAnswer is what an attempt failed with that was not waited for any longer.
var errNoAnswer = errors.New("no answer from Redis")

// errLate is what an attempt failed with whose answer came too late to be of use.
var errLate = errors.New("the round trip took longer than the lease")

// errGone is the ErrLost of those who wait for a group.
var errGone = fmt.Errorf("the group is not in Redis any more (%w)", ErrLost)

// ctxError is why ctx has ended: its error, and its cause if that says more.
func ctxError(ctx context.Context) error {
	if cause := context.Cause(ctx); cause != ctx.Err() {
		return fmt.Errorf("%w: %w", ctx.Err(), cause)
	}
	return ctx.Err()
}
