package main

import (
	"math/bits"
	"time"
)

// A hist counts durations in buckets that are at most 3 % wide, so a sample costs one increment and
// a process's samples fit in one line of JSON. The index of a bucket is the six leading bits of the
// nanoseconds, and the number of bits that follow.
type hist [40 * 32]int64

func (h *hist) add(d time.Duration) {
	n := uint64(max(d, 0))
	shift := max(bits.Len64(n)-6, 0)
	h[min(shift*32+int(n>>shift), len(h)-1)]++
}

func (h *hist) merge(other *hist) {
	for i, n := range other {
		h[i] += n
	}
}

// quantile returns the middle of the bucket that contains quantile q.
func (h *hist) quantile(q float64) time.Duration {
	var total int64
	for _, n := range h {
		total += n
	}
	rest := int64(q * float64(total))
	for i, n := range h {
		if rest -= n; rest < 0 {
			shift := max(i/32-1, 0)
			return time.Duration((i-shift*32)<<shift + 1<<shift/2)
		}
	}
	return 0
}
