package main

import (
	"math/bits"
	"time"
)

// A hist counts durations in buckets which are at most 3 % wide, so that a
// sample costs an increment and a process's samples fit in a line. A bucket is
// named by the six leading bits of the nanoseconds, and by how many follow them.
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

// quantile is the middle of the bucket below which the share q of all lies.
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
