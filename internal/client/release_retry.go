package client

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/seed-3d5fec5c/baton/internal/retry"
)

// RetryUntil makes attempts until one is confirmed, or until passes. It reports owned as false only
// if the first attempt found nothing to give back. No attempt may take all of the time, because its
// connection may be dead. Between attempts it sleeps, by the function sleep if there is one. It uses
// only the values of ctx.
func (c *Client) RetryUntil(ctx context.Context, until time.Time, attempt func(context.Context) (owned bool, err error), sleep func(time.Duration, error)) (owned bool, err error) {
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
		if block := c.store.MaxBlock(); block < remaining {
			got = attemptInline(ctx, max(remaining/3, MinTTL), block > 0, attempt)
		} else {
			if done == nil {
				replies, done = make(chan attemptResult), make(chan struct{})
			}
			got = c.attemptAsync(ctx, max(remaining/3, MinTTL), attempt, replies, done)
		}
		if got.err == nil {
			c.Backlog.Answered()
		}
		switch {
		case got.err == nil:
			return got.owned || retried, nil
		case retry.IsPermanent(retry.UnmarkDenied(got.err)) || retry.IsPanic(got.err):
			return false, got.err
		}
		if lastErr == nil || got.err != retry.ErrNoAnswer { // an error from Redis is more precise
			lastErr = got.err
		}
		if remaining = time.Until(until); remaining <= 0 {
			return false, lastErr
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

// attemptInline makes an attempt on this goroutine. Its ctx has no timer if the wait for a reply
// does not end with it.
func attemptInline(ctx context.Context, timeout time.Duration, blocks bool, attempt func(context.Context) (bool, error)) (o attemptResult) {
	if blocks {
		ctx = deadlineCtx{ctx, time.Now().Add(timeout)}
	} else {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	o.owned, o.err = attempt(ctx)
	return o
}

// A deadlineCtx states its deadline, and has no timer, which costs a release noticeable time. The store
// makes one if it waits for more than a reply.
type deadlineCtx struct {
	context.Context // for its values
	at              time.Time
}

func (c deadlineCtx) Deadline() (at time.Time, ok bool) { return c.at, true }
func (deadlineCtx) Done() <-chan struct{}               { return nil }

// attemptAsync makes an attempt on another goroutine, and waits for it for the
// timeout. An earlier attempt may reply instead.
func (c *Client) attemptAsync(ctx context.Context, timeout time.Duration, attempt func(context.Context) (bool, error), replies chan attemptResult, done chan struct{}) attemptResult {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	c.Async(func() {
		defer cancel() // not sooner: a late attempt may still succeed
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
