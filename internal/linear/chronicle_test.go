package linear

import (
	"cmp"
	"slices"

	"github.com/anishathalye/porcupine"
)

// chronicle is what all processes have done.
type chronicle struct {
	spans   map[int64]*span
	resizes []porcupine.Operation // of s1
	linger  int64                 // see span.leaves
}

func newChronicle(linger int64) *chronicle {
	return &chronicle{spans: map[int64]*span{}, linger: linger}
}

func (c *chronicle) add(e event) {
	if e.What == asked {
		c.spans[e.Hold] = &span{}
	}
	c.spans[e.Hold].note(e)
}

// history is that of a key, as the models know it.
func (c *chronicle) history(key string) (ops []porcupine.Operation) {
	if key == "s1" {
		ops = slices.Clone(c.resizes)
	}
	spans := c.of(key)
	crowds := map[crowd][]int64{}
	for i, s := range spans {
		ops = append(ops, s.operations(s.result == Locked && c.excused(spans, i, crowds))...)
	}
	return ops
}

// of are the spans of a key, in the order in which they began.
func (c *chronicle) of(key string) (spans []*span) {
	for _, s := range c.spans {
		if s.key == key {
			spans = append(spans, s)
		}
	}
	slices.SortFunc(spans, func(a, b *span) int { return cmp.Compare(a.asked, b.asked) })
	return spans
}

// crowd are those whose requests a try may take for somebody who waits.
type crowd struct {
	process int64 // whose tries count too
	writers bool  // readers do not count
}

// until is when the last of the spans leaves, of those that are in the crowd.
func (w crowd) until(s *span, linger int64) int64 {
	until, others := s.leaves(linger)
	if w.writers && s.want.Shared || !others && s.process != w.process {
		return 0
	}
	return until
}

// excused tells whether a try may have found its key awaited, though not held. To
// excuse too much makes the check weaker, never wrong: therefore there are keys
// on which nobody ever waits.
func (c *chronicle) excused(spans []*span, i int, crowds map[crowd][]int64) bool {
	try := spans[i]
	if try.key[0] == 's' && clients(try.key) > 1 && !releaseIsPrompt {
		return true
	}
	who := crowd{try.process, try.want.Shared && triesToReadSeeWriters}
	before, ok := crowds[who] // until when those before each span have left
	if !ok {
		last := int64(0)
		for _, s := range spans {
			before = append(before, last)
			last = max(last, who.until(s, c.linger))
		}
		crowds[who] = before
	}
	if before[i] >= try.asked {
		return true
	}
	for _, s := range spans[i+1:] {
		if s.asked > try.answered {
			break
		}
		if who.until(s, c.linger) > 0 {
			return true
		}
	}
	return false
}
