package lease

import (
	"context"
	"time"
)

// A callerCtx is the ctx of a request that is sent on behalf of one caller: it has
// the values of that caller's ctx, and does not end with it.
type callerCtx struct{ parent context.Context }

func (*callerCtx) Deadline() (deadline time.Time, ok bool) { return time.Time{}, false }
func (*callerCtx) Done() <-chan struct{}                   { return nil }
func (*callerCtx) Err() error                              { return nil }
func (c *callerCtx) Value(key any) any                     { return c.parent.Value(key) }
