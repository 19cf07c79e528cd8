package lease

import (
	"context"
	"strings"
	"testing"
	"time"
)

// fakeValues is a ValueStore whose writes call a function.
type fakeValues struct {
	ValueStore
	write func(ValueWrite) (WriteOutcome, error)
}

func (f fakeValues) WriteValue(_ context.Context, w ValueWrite) (WriteOutcome, error) {
	return f.write(w)
}

// An ended lease writes nothing. If Redis no longer has the lease, the write reports its loss.
func TestEndedLeaseWritesNoValue(t *testing.T) {
	inBubble(t, func(e *env) {
		m, s := e.process()
		l, sent := e.acquire(m, params(time.Second)), 0
		write := func(what string, reply WriteOutcome, failure, want error) error {
			_, err := l.WriteValue(e.Context(), fakeValues{write: func(ValueWrite) (WriteOutcome, error) { sent++; return reply, failure }}, ValueWrite{})
			e.checkError(what, err, want)
			return err
		}
		l.Release()
		write("after the release", ValueStored, nil, ErrUnlocked)
		l = e.acquire(m, params(time.Second))
		equal(e, "requests after the release", sent, 0)
		write("refused by Redis", ValueNotHeld, nil, ErrLost)
		s.setFault(lostRequest)
		start := time.Now()
		if err := write("lost while Redis is away", 0, errNetwork, ErrLost); !strings.Contains(err.Error(), errNetwork.Error()) {
			e.Errorf("lost while Redis is away: %v", err)
		}
		e.checkWithin("the loss", start, time.Second)
		sent = 0
		write("after the loss", ValueStored, nil, ErrLost)
		equal(e, "requests after the loss", sent, 0)
	})
}

// A candidate whose ctx ends while Redis refuses its value returns both errors.
func TestCampaignEndsWhileTheValueIsStored(t *testing.T) {
	inBubble(t, func(e *env) {
		m, s := e.process()
		s.change(func() {
			s.refuse = func(request string) error {
				if request == "write" {
					return errNetwork
				}
				return nil
			}
		})
		ctx, cancel := context.WithTimeout(e.Context(), time.Minute)
		defer cancel()
		e.checkError("Campaign", NewTerm(s, "v").Campaign(ctx, m, new(params(time.Second))), context.DeadlineExceeded, errNetwork)
	})
}
