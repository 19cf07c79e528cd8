// Package retry repeats calls to Redis. It knows which errors pass, how long to pause between
// attempts, what errors a caller gets, and what remains to be given up when Redis does not answer.
package retry

import (
	"context"
	"time"
)

// Do calls f, which asks Redis, and returns within milliseconds of the end of
// ctx, whether f does or not. It repeats f, with backoff, while that fails with
// what may pass, if patient, and else calls it once. Without an end of ctx, one unknown
// error that lasts for longer than UnknownLimit is final. Errors name op and key, and
// that of a ctx which has ended also names what f failed with last.
//
// Once ctx has ended f may still be running, and Redis may yet do what it asks:
// the caller undoes that. So f must be safe to repeat, and must not use anything
// of the caller's that changes.
func Do[T any](ctx context.Context, op, key string, retry bool, f func(context.Context) (T, error)) (T, error) {
	var none T
	var last error
	var failing Streak
	backOff := NewBackoff(10*time.Millisecond, 0.5)
	for ctx.Err() == nil {
		got, err := callWithContext(ctx, f)
		switch {
		case ctx.Err() != nil:
			if err != nil && err != ErrNoAnswer && err != ctx.Err() { // else it says no more than ctx
				last = err
			}
			return none, WrapRedis(op, key, CtxError(ctx), last)
		case err == nil:
			return got, nil
		case IsPanic(err):
			Repanic(err)
		case ctx.Done() == nil && failing.Exceeds(UnknownLimit, err): // and nobody can stop waiting
			return none, Wrap(op, key, Permanent(err))
		case IsPermanent(err) || !retry:
			return none, Wrap(op, key, err)
		}
		last = err
		timer := time.NewTimer(backOff.NextBackOff())
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
	return none, WrapRedis(op, key, CtxError(ctx), last)
}

// callWithContext returns what f returns, or ErrNoAnswer if ctx ends before. It needs no
// goroutine for a ctx that does not end.
func callWithContext[T any](ctx context.Context, f func(context.Context) (T, error)) (T, error) {
	if ctx.Done() == nil {
		return f(ctx)
	}
	type outcome struct {
		val T
		err error
	}
	done := make(chan outcome, 1) // room for one: f may end when nobody waits
	go func() {
		value, err := f(ctx)
		done <- outcome{value, err}
	}()
	select {
	case got := <-done:
		return got.val, got.err
	case <-ctx.Done():
		var none T
		return none, ErrNoAnswer
	}
}
