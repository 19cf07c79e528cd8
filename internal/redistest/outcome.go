package redistest

import "fmt"

// Outcome returns what f returns or panics with.
func Outcome(f func() error) (err error) {
	defer func() {
		if x := recover(); x != nil {
			err = fmt.Errorf("panic: %v", x)
		}
	}()
	return f()
}

// Zero calls a method of the zero T, which is to return what is wanted, and then that
// of a nil one, and returns what this panics with.
func Zero[T any](want any, method func(x *T) any) error {
	var got any
	_ = Outcome(func() error { got = method(new(T)); return nil }) // one that panics says nothing
	if got != want {
		return fmt.Errorf("the zero %T says %v and not %v", *new(T), got, want)
	}
	return Outcome(func() error { method(nil); return nil })
}
