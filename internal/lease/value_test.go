package lease

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
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

func TestValueIsWrittenUnderTheLease(t *testing.T) {
	inBubble(t, func(e *env) {
		m, _ := e.process()
		l := e.acquire(m, params(time.Second))
		tries := 0
		outcome, err := l.WriteValue(e.Context(), fakeValues{write: func(w ValueWrite) (WriteOutcome, error) {
			if tries++; tries == 1 {
				return 0, errNetwork
			}
			if w.Key != "key" || w.Token != e.owner() || w.Fence != l.Fence() || w.Data != "v" {
				t.Errorf("the write is %+v", w)
			}
			return ValueStored, nil
		}}, ValueWrite{Data: "v"})
		if outcome != ValueStored || err != nil || tries != 2 {
			t.Errorf("got %v, %v after %d tries", outcome, err, tries)
		}
	})
}

// An ended lease writes nothing. If Redis no longer has the lease, the write reports its loss.
func TestEndedLeaseWritesNoValue(t *testing.T) {
	inBubble(t, func(e *env) {
		m, s := e.process()
		l, sent := e.acquire(m, params(time.Second)), 0
		write := func(what string, reply WriteOutcome, failure, want error) error {
			_, err := l.WriteValue(e.Context(), fakeValues{write: func(ValueWrite) (WriteOutcome, error) { sent++; return reply, failure }}, ValueWrite{})
			if !errors.Is(err, want) {
				e.Errorf("%s: %v", what, err)
			}
			return err
		}
		l.Release()
		write("after the release", ValueStored, nil, ErrUnlocked)
		l = e.acquire(m, params(time.Second))
		if sent != 0 {
			e.Error("a request was sent after the release")
		}
		write("refused by Redis", ValueNotHeld, nil, ErrLost)
		s.setFault(lostRequest)
		start := time.Now()
		if err := write("lost while Redis is away", 0, errNetwork, ErrLost); !strings.Contains(err.Error(), errNetwork.Error()) {
			e.Errorf("lost while Redis is away: %v", err)
		}
		e.checkWithin("the loss", start, time.Second)
		sent = 0
		if write("after the loss", ValueStored, nil, ErrLost); sent != 0 {
			e.Error("a request was sent after the loss")
		}
	})
}

// A candidate whose ctx ends while Redis refuses its value returns both errors.
func TestCampaignEndsWhileTheValueIsStored(t *testing.T) {
	inBubble(t, func(e *env) {
		m, s := e.process()
		s.change(func() {
			s.point = func(what string) fault {
				if what == "send write" {
					return cut
				}
				return fine
			}
		})
		ctx, cancel := context.WithTimeout(e.Context(), time.Minute)
		defer cancel()
		p := params(time.Second)
		if err := NewTerm(s, "v").Campaign(ctx, m, &p); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, errNetwork) {
			t.Errorf("Campaign returns %v", err)
		}
	})
}

// A watch is signaled by messages, and whenever messages may have been lost.
func TestValueWatchIsSignaled(t *testing.T) {
	inBubble(t, func(e *env) {
		m, s := e.process()
		changed := message{"channel", Handover{Name: Name{Kind: 'v', Key: "key"}, Seq: 7, Token: "-"}}
		first, second := m.WatchValue("key", "channel"), m.WatchValue("key", "channel")
		<-first.C()
		<-second.C()
		if !first.Subscribed() || !second.Subscribed() {
			t.Error("a watch is not subscribed")
		}
		s.publish([]message{changed})
		<-first.C()
		<-second.C()

		second.Stop()
		third := m.WatchValue("key", "channel")
		if !third.Subscribed() {
			t.Error("the third is not subscribed")
		}
		third.Stop()

		s.disconnect <- struct{}{}
		<-first.C()
		if first.Subscribed() {
			t.Error("the watch is subscribed without a connection")
		}
		<-first.C()
		if !first.Subscribed() {
			t.Error("the watch is not subscribed again")
		}
		other := m.WatchValue("other", "another channel")
		<-other.C()
		other.Stop()
		first.Stop()
		time.Sleep(time.Second)
		synctest.Wait()
		s.publish([]message{changed})
		time.Sleep(time.Second)
		select {
		case <-first.C():
			t.Error("the watch is signaled after Stop")
		case <-other.C():
			t.Error("the watch of another key is signaled")
		default:
		}
		e.redis.mu.Lock()
		defer e.redis.mu.Unlock()
		if len(e.redis.subs) != 0 {
			t.Errorf("still subscribed: %v", e.redis.subs)
		}
	})
}
