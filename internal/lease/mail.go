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
type Box[R any, M Maker[R]] struct {
	makes M
	ch    chan R
}

// A Maker makes what a box delivers of an error, or of nil.
type Maker[R any] interface{ Result(err error) R }

// NewBox returns a box whose results are by the Maker.
func NewBox[R any, M Maker[R]](makes M) *Box[R, M] {
	// With room for one, delivery needs no goroutine, and the channel itself
	// decides between a receiver and TakeBack: what lies in it goes to one of them.
	return &Box[R, M]{makes, make(chan R, 1)}
}

// Bare is the Maker of boxes that deliver the error itself.
type Bare struct{}

func (Bare) Result(err error) error { return err }

// C returns the channel.
func (b *Box[R, M]) C() <-chan R { return b.ch }

func (b *Box[R, M]) Put(err error) { b.ch <- b.makes.Result(err) }

func (b *Box[R, M]) TakeBack() bool {
	select {
	case <-b.ch:
		return true
	default:
		return false
	}
}

func (b *Box[R, M]) Received() bool { return len(b.ch) == 0 }
