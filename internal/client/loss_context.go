package client

import (
	"context"
	"sync"
)

// LossContexts are the contexts to cancel when a hold is lost. The mutex of the hold guards them.
type LossContexts map[*context.CancelCauseFunc]struct{}

// Derive returns a copy of parent that is cancelled when the hold ends with a cause. It calls
// ended under mu, for whether the hold has ended, and the cause if there is one.
func (c *LossContexts) Derive(parent context.Context, mu *sync.Mutex, ended func() (bool, error)) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	mu.Lock()
	defer mu.Unlock()
	switch over, cause := ended(); {
	case cause != nil:
		cancel(cause)
	case over:
	case *c == nil:
		*c = LossContexts{&cancel: {}}
	default:
		(*c)[&cancel] = struct{}{}
	}
	return ctx, func() {
		cancel(nil)
		mu.Lock()
		defer mu.Unlock()
		delete(*c, &cancel)
	}
}

// End forgets the contexts of a hold that ends, and cancels them if there is a cause.
func (c *LossContexts) End(cause error) {
	if cause != nil {
		for cancel := range *c {
			(*cancel)(cause)
		}
	}
	*c = nil
}
