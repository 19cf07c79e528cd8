package lease

import (
	"context"
	"time"
)

// A caller is the ctx of a request that is sent on behalf of one caller: it has
// the values of that caller's ctx, and does not end with it.
type caller struct{ parent context.Context }

func (*caller) Deadline() (deadline time.Time, ok bool) { return time.Time{}, false }
func (*caller) Done() <-chan struct{}                   { return nil }
func (*caller) Err() error                              { return nil }
func (c *caller) Value(key any) any                     { return c.parent.Value(key) }
