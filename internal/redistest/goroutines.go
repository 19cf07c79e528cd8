package redistest

import (
	"runtime"
	"slices"
)

// Goroutines returns the number of goroutines. It is the median of several readings: while goroutines
// end, [runtime.NumGoroutine] may be wrong by a batch of 32, which the runtime moves between its lists.
func Goroutines() int {
	var n [9]int
	for i := range n {
		runtime.Gosched()
		n[i] = runtime.NumGoroutine()
	}
	slices.Sort(n[:])
	return n[len(n)/2]
}
