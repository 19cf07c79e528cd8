// Package result delivers the one result of a request that no call waits for, and takes it back
// while nobody has received it.
package result

// Sink receives the result of a request that no call waits for.
type Sink interface {
	// Send delivers what was requested if err is nil, and otherwise err. It does not block.
	Send(err error)
	// Revoke undoes a Send that has not been received, and reports whether it did.
	Revoke() bool
	// Received reports whether the result has been received.
	Received() bool
}

// Chan is a [Sink] over a channel of results of the type R.
type Chan[R any, M Builder[R]] struct {
	builder M
	ch      chan R
}

// A Builder makes what a Chan delivers of an error, or of nil.
type Builder[R any] interface{ Build(err error) R }

// NewChan returns a Chan whose results are by the Builder.
func NewChan[R any, M Builder[R]](builder M) *Chan[R, M] {
	// With room for one, delivery needs no goroutine, and the channel itself
	// decides between a receiver and Revoke: what lies in it goes to one of them.
	return &Chan[R, M]{builder, make(chan R, 1)}
}

// ErrorOnly is the Builder of Chans that deliver the error itself.
type ErrorOnly struct{}

func (ErrorOnly) Build(err error) error { return err }

// C returns the channel.
func (c *Chan[R, M]) C() <-chan R { return c.ch }

func (c *Chan[R, M]) Send(err error) { c.ch <- c.builder.Build(err) }

func (c *Chan[R, M]) Revoke() bool {
	select {
	case <-c.ch:
		return true
	default:
		return false
	}
}

func (c *Chan[R, M]) Received() bool { return len(c.ch) == 0 }
