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

// A valueCtx is the ctx of a caller that reads the value beside the mutex. Few callers do, so a lease
// has no field for their ValueReader.
type valueCtx struct {
	context.Context
	reader *ValueReader
}

// valueReader returns the ValueReader of the caller, or nil.
func (c *callerCtx) valueReader() *ValueReader {
	v, _ := c.parent.(valueCtx)
	return v.reader
}
