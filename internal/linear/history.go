package linear

import (
	"fmt"
	"math"

	"github.com/anishathalye/porcupine"
)

// Forever is the Return of what may take effect at any time to come.
const Forever = math.MaxInt64

// Act is what a client asks of a key.
type Act string

const (
	Acquire Act = "acquire"
	Try     Act = "try"
	Release Act = "release"
	Resize  Act = "resize"
	// Expire is added for each hold that was not released cleanly: it ended by
	// itself, some time after it was last believed in.
	Expire Act = "expire"
)

// Result is what came of it.
type Result string

const (
	OK     Result = "ok"
	Locked Result = "locked"    // ErrLocked
	Lost   Result = "lost"      // ErrLost
	Size   Result = "too large" // ErrSize
	// Failed is any other error. A request that failed has let nobody in, so it is
	// no operation of a history; a release that failed is an Expire.
	Failed Result = "failed"
)

// Request is the input of an operation.
type Request struct {
	Act    Act
	Hold   int64 // each request for a hold has its own
	Shared bool  // as a reader
	N      int64 // permits, or the new size
	// Excused is a try during which others asked for the same key, or what they
	// left behind was still to be cleaned up. It may fail though nobody holds.
	Excused bool
}

// Answer is the output of an operation.
type Answer struct {
	Result Result
	Fence  int64
}

// model makes a porcupine model of one key from its step function, which is
// never asked about an act or a result that the primitive does not have.
func model[S any](initial S, equal func(a, b S) bool, step func(S, Request, Answer) (S, bool)) porcupine.Model {
	return porcupine.Model{
		Init:  func() any { return initial },
		Equal: func(a, b any) bool { return equal(a.(S), b.(S)) },
		Step: func(state, in, out any) (bool, any) {
			next, ok := step(state.(S), in.(Request), out.(Answer))
			return ok, next
		},
		DescribeOperation: func(in, out any) string { return describe(in.(Request), out.(Answer)) },
	}
}

func describe(r Request, a Answer) string {
	text := fmt.Sprintf("%s #%d", r.Act, r.Hold)
	switch {
	case r.Act == Resize:
		return fmt.Sprintf("resize to %d", r.N)
	case r.Shared:
		text += " shared"
	case r.N > 0:
		text += fmt.Sprintf(" of %d", r.N)
	}
	text += ": " + string(a.Result)
	if a.Fence > 0 {
		text += fmt.Sprintf(", fence %d", a.Fence)
	}
	if r.Excused {
		text += " (excused)"
	}
	return text
}
