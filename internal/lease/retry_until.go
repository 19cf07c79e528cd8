package lease

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/seed-3d5fec5c/baton/internal/retry"
)

// retryUntil makes attempts until one is confirmed, or until passes. It returns
// ErrLost if the first of them is told that there was nothing to give back. No
// attempt may take all of the time: one connection that has fallen silent must
// not be the only try. After one that has failed it sleeps, by the function sleep if
// there is one. The ctx is for its values only.
func (m *Manager) retryUntil(ctx context.Context, until time.Time, attempt func(context.Context) (owned bool, err error), sleep func(time.Duration, error)) error {
	var backOff backoff.BackOff
	var lastErr error
	var replies chan attemptResult // of the attempts that are not waited for to their end
	var done chan struct{}         // closed when no more replies are wanted
	defer func() {
		if done != nil {
			close(done)
		}
	}()
	for retried := false; ; retried = true {
		remaining := time.Until(until)
		var got attemptResult
		if m.store.MaxBlock() < remaining {
			got = attemptInline(ctx, max(remaining/3, MinTTL), attempt)
		} else {
			if done == nil {
				replies, done = make(chan attemptResult), make(chan struct{})
			}
			got = m.attemptAsync(ctx, max(remaining/3, MinTTL), attempt, replies, done)
		}
		if got.err == nil {
			m.backlog.Answered()
		}
		switch {
		case got.err == nil && !got.owned && !retried:
			return ErrLost
		case got.err == nil:
			return nil
		case retry.IsPermanent(retry.UnmarkDenied(got.err)) || retry.IsPanic(got.err):
			return got.err
		}
		if lastErr == nil || got.err != retry.ErrNoAnswer { // Redis' own word says more
			lastErr = got.err
		}
		if remaining = time.Until(until); remaining <= 0 {
			return lastErr
		}
		if backOff == nil {
			backOff = retry.NewBackoff(5*time.Millisecond, 0.5)
		}
		if wait := min(backOff.NextBackOff(), remaining); sleep != nil {
			sleep(wait, got.err)
		} else {
			time.Sleep(wait)
		}
	}
}

// attemptResult is that of an attempt to give something back.
type attemptResult struct {
	owned bool
	err   error
}

func attemptInline(ctx context.Context, timeout time.Duration, attempt func(context.Context) (bool, error)) (o attemptResult) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	o.owned, o.err = attempt(ctx)
	return o
}

// attemptAsync makes an attempt on another goroutine, and waits for it for the
// timeout. An earlier attempt may reply instead.
func (m *Manager) attemptAsync(ctx context.Context, timeout time.Duration, attempt func(context.Context) (bool, error), replies chan attemptResult, done chan struct{}) attemptResult {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	m.async(func() {
		defer cancel() // not sooner: it may end well although nobody waits for it any more
		owned, err := attempt(ctx)
		select {
		case replies <- attemptResult{owned, err}:
		case <-done:
		}
	})
	select {
	case o := <-replies:
		return o
	case <-ctx.Done():
		return attemptResult{err: retry.ErrNoAnswer}
	}
}
