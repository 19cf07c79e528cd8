package lease

import "time"

// A monoTime is a time on this process's monotonic clock, in a third of the space.
type monoTime time.Duration

var monoEpoch = time.Now()

func monoTimeOf(t time.Time) monoTime { return monoTime(t.Sub(monoEpoch)) }

func (m monoTime) elapsed(t time.Time) time.Duration { return t.Sub(monoEpoch) - time.Duration(m) }
