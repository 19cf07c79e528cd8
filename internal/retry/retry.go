// Package retry repeats calls to Redis. It knows which errors pass, how long to pause between
// attempts, what errors a caller gets, and what remains to be given up when Redis does not answer.
package retry

import (
	"context"
	"time"
)

// Do calls f, which sends a request to Redis, and returns within milliseconds of the end of ctx, even
// if f does not. If patient, it repeats f, with backoff, while the error may pass; otherwise it calls
// f once. If ctx never ends, one unknown error that lasts for longer than UnknownLimit is final.
// Errors name op and key. The error of an ended ctx also names the last error of f.
//
// When ctx ends, f may still be running, and Redis may still execute the request: the caller undoes
// that. So f must be safe to repeat, and must not use variables that the caller changes.
func Do[T any](ctx context.Context, op, key string, retry bool, f func(context.Context) (T, error)) (T, error) {
	var none T
	var last error
	var failing Streak
	backOff := NewBackoff(10*time.Millisecond, 0.5)
	for ctx.Err() == nil {
		got, err := callWithContext(ctx, f)
		switch {
		case ctx.Err() != nil:
			if err != nil && err != ErrNoAnswer && err != ctx.Err() { // else it adds nothing to the error of ctx
				last = err
			}
			return none, WrapRedis(op, key, CtxError(ctx), last)
		case err == nil:
			return got, nil
		case IsPanic(err):
			Repanic(err)
		case ctx.Done() == nil && failing.Exceeds(UnknownLimit, err): // and the caller cannot stop waiting
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

// callWithContext returns the result of f, or ErrNoAnswer if ctx ends before. For a ctx that never
// ends it needs no goroutine.
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
