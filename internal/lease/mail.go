package lease

// Mail is where the result of a request goes that nobody waits for in a call.
type Mail interface {
	// Put delivers: the lease if err is nil, and else err. It does not block.
	Put(err error)
	// TakeBack undoes a Put that has not been received, and reports whether it did.
	TakeBack() bool
	// Received reports whether what was put has been received.
	Received() bool
}

// Box is a [Mail] over a channel of results of the type R.
type Box[R any] struct {
	ch     chan R
	result func(error) R
}

// NewBox returns a box that delivers what result makes of an error.
func NewBox[R any](result func(error) R) *Box[R] {
	// With room for one, delivery needs no goroutine, and the channel itself
	// decides between a receiver and TakeBack: what lies in it goes to one of them.
	return &Box[R]{make(chan R, 1), result}
}

// C returns the channel.
func (b *Box[R]) C() <-chan R { return b.ch }

func (b *Box[R]) Put(err error) { b.ch <- b.result(err) }

func (b *Box[R]) TakeBack() bool {
	select {
	case <-b.ch:
		return true
	default:
		return false
	}
}

func (b *Box[R]) Received() bool { return len(b.ch) == 0 }
