// Package kit has helpers for the tests of internal/matrix and of the public packages. The library treats each client as a
// process of its own.
package kit

// Must panics on an error.
func Must(err error) {
	if err != nil {
		panic(err)
	}
}
