package redistest

import "fmt"

// Outcome returns the error of f, or an error for its panic.
func Outcome(f func() error) (err error) {
	defer func() {
		if x := recover(); x != nil {
			err = fmt.Errorf("panic: %v", x)
		}
	}()
	return f()
}

// Zero checks the result of a method of the zero T. It returns an error, or the panic of the method
// of a nil *T.
func Zero[T any](want any, method func(x *T) any) error {
	var got any
	_ = Outcome(func() error { got = method(new(T)); return nil }) // after a panic, got is nil
	if got != want {
		return fmt.Errorf("the method of the zero %T returns %v, want %v", *new(T), got, want)
	}
	return Outcome(func() error { method(nil); return nil })
}

// ErrorOf returns err. It returns another error if both v and err are nil, or neither.
func ErrorOf[T any](v *T, err error) error {
	if (v == nil) == (err == nil) {
		return fmt.Errorf("both or neither of %v and %v", v, err)
	}
	return err
}
