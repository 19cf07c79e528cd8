package lease

import (
	"context"
	"sync"
)

// lossContexts are the contexts to cancel when a hold is lost. The mutex of the hold guards them.
type lossContexts map[*context.CancelCauseFunc]struct{}

// derive returns a copy of parent that is cancelled with the cause lost if the hold ends for that
// reason. It calls ended under mu, for the reason why the hold has ended, or nil.
func (c *lossContexts) derive(parent context.Context, mu *sync.Mutex, ended func() error, lost error) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	mu.Lock()
	defer mu.Unlock()
	switch err := ended(); {
	case err == lost:
		cancel(lost)
	case err != nil:
	case *c == nil:
		*c = lossContexts{&cancel: {}}
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

// end forgets the contexts of a hold that ends because of err, and cancels them if that is lost.
func (c *lossContexts) end(err, lost error) {
	if err == lost {
		for cancel := range *c {
			(*cancel)(lost)
		}
	}
	*c = nil
}
