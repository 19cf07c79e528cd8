package retry

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"
)

// A Store marks errors by their class. An error without a mark is transient: the request is repeated
// until it succeeds, or until no caller waits any more.
type (
	permanent struct{ error } // fails every repetition too
	denied    struct{ error } // permanent: the user has not the rights, but may get them back
	unknown   struct{ error } // may be permanent or transient
)

func (e permanent) Unwrap() error { return e.error }
func (e denied) Unwrap() error    { return e.error }
func (e unknown) Unwrap() error   { return e.error }

// Permanent marks an error that no repetition can repair.
func Permanent(err error) error { return permanent{err} }

// IsPermanent reports whether err was marked by Permanent, or by Denied.
func IsPermanent(err error) bool { return err != nil && errors.As(err, new(permanent)) }

// Denied marks the permanent error of a user without the rights. A release is repeated nevertheless:
// the rights may come back before the hold ends.
func Denied(err error) error { return permanent{denied{err}} }

// IsDenied reports whether err was marked by Denied.
func IsDenied(err error) bool { return err != nil && errors.As(err, new(denied)) }

// UnmarkDenied returns err for a release, without the mark of missing rights.
func UnmarkDenied(err error) error {
	if d := (denied{}); err != nil && errors.As(err, &d) {
		return d.error
	}
	return err
}

// Unknown marks an error that may be permanent or not. It is transient for a caller that can stop
// waiting. A caller whose ctx never ends waits until it has been the only outcome of all requests for
// some time: see Streak.
func Unknown(err error) error { return unknown{err} }

// IsUnknown reports whether err was marked by Unknown.
func IsUnknown(err error) bool { return err != nil && errors.As(err, new(unknown)) }

// UnknownLimit is how long an unknown error may last in a call without a TTL.
const UnknownLimit = 10 * time.Second

// A Streak is the time for which one unknown error has been the only outcome of requests.
type Streak struct {
	text  string
	since time.Time
}

// Exceeds notes the outcome of a request. It reports whether that is an unknown error which
// has been the only outcome for longer than the limit.
func (s *Streak) Exceeds(limit time.Duration, err error) bool {
	if !IsUnknown(err) {
		*s = Streak{}
		return false
	}
	now := time.Now()
	if text := err.Error(); text != s.text {
		*s = Streak{text, now}
	}
	return now.Sub(s.since) > limit
}

// OpError is an error with the operation, the key, and the last error of Redis.
type OpError struct {
	op, key  string
	err      error
	redisErr error // nil if Redis was well
}

func (e *OpError) Error() string {
	text := fmt.Sprintf("baton: %s %q: %s", e.op, e.key, strings.TrimPrefix(e.err.Error(), "baton: "))
	if e.redisErr != nil {
		text += fmt.Sprintf(" (Redis: %v)", e.redisErr)
	}
	return text
}

// Wrap returns err with the operation and the key that it is about, unless it has them.
func Wrap(op, key string, err error) error { return WrapRedis(op, key, err, nil) }

// WrapRedis is like Wrap for a wait that ended while Redis failed with redisErr. The
// result matches both errors.
func WrapRedis(op, key string, err, redisErr error) error {
	if _, wrapped := err.(*OpError); wrapped {
		return err
	}
	return &OpError{op, key, err, redisErr}
}

func (e *OpError) Unwrap() []error {
	if e.redisErr == nil {
		return []error{e.err}
	}
	return []error{e.err, e.redisErr}
}

// ErrNoAnswer is the error of an attempt that got no reply in time.
var ErrNoAnswer = errors.New("no answer from Redis")

// A PanicError is a panic of the Redis client, or of one of its hooks. The engine handles it as an
// error, so that nothing stays half done. The caller for which the client was called gets the panic.
type PanicError struct {
	Value any
	Stack []byte
}

// NewPanicError must be called by the function that recovered the value.
func NewPanicError(value any) error { return &PanicError{value, debug.Stack()} }

func (e *PanicError) Error() string {
	return fmt.Sprintf("the Redis client panicked: %v\n\n%s", e.Value, e.Stack)
}

func IsPanic(err error) bool { return err != nil && errors.As(err, new(*PanicError)) }

// Repanic panics in the goroutine of the caller if err is a panic of the client.
func Repanic(err error) {
	if IsPanic(err) {
		var p *PanicError
		errors.As(err, &p)
		panic(p.Value)
	}
}

// ErrReplyTooLate is the error of an attempt whose reply came too late to be of use.
var ErrReplyTooLate = errors.New("the round trip took longer than the lease")

// CtxError returns why ctx has ended: its error, and its cause if that is another.
func CtxError(ctx context.Context) error {
	if cause := context.Cause(ctx); cause != ctx.Err() {
		return fmt.Errorf("%w: %w", ctx.Err(), cause)
	}
	return ctx.Err()
}
