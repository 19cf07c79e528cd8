package lease

import (
	"testing"
	"testing/synctest"
	"time"
)

// contended reports whether the lease's channel is closed.
func contended(l *Lease) bool {
	synctest.Wait()
	select {
	case <-l.Contended():
		return true
	default:
		return false
	}
}

// eachKind runs f for each primitive that leases are of, exclusive holds.
func eachKind(t *testing.T, f func(e *env, p Params)) {
	for _, p := range []Params{
		{Kind: Mutex, Weight: 1},
		{Kind: RWMutex, Weight: ExclusiveWeight, Size: ExclusiveWeight},
		{Kind: Semaphore, Weight: 3, Size: 3},
	} {
		p.Key, p.TTL = "key", 9*time.Second
		t.Run(string(p.Kind), func(t *testing.T) { inBubble(t, func(e *env) { f(e, p) }) })
	}
}

// contender waits as p says, from now on, and releases at once what it gets.
func (e *env) contender(m *Manager, p Params) (got chan struct{}) {
	got = make(chan struct{})
	go func() {
		defer close(got)
		l := new(Lease)
		if err := l.Acquire(e.Context(), m, &p); err != nil {
			e.Error(err)
		}
		l.Release()
	}()
	return got
}

// A holder that asks for it is told by one message that another process waits, and not by
// goroutines of its own.
func TestContendedByTheNotice(t *testing.T) {
	eachKind(t, func(e *env, p Params) {
		k1, _ := e.process()
		k2, _ := e.process()
		p.NotifyContention = true
		held := e.take(k1, p)
		if p.Kind != Semaphore { // whose process would be the first in the queue
			e.contender(k1, p)
		}
		time.Sleep(10 * time.Millisecond)
		if contended(held) {
			e.Error("contended by its own process")
		}
		sent := e.redis.sent
		got := e.contender(k2, p)
		time.Sleep(time.Millisecond)
		if !contended(held) || e.redis.sent != sent+1 {
			e.Errorf("contended: %v, by %d messages", contended(held), e.redis.sent-sent)
		}
		held.Release()
		<-got
		select {
		case <-held.Contended():
			e.Error("a lease that has ended is contended")
		default:
		}
	})
}

// A notice that comes before the grant that it is about is not lost.
func TestContendedBeforeTheGrantArrives(t *testing.T) {
	eachKind(t, func(e *env, p Params) {
		p.TTL, p.NotifyContention = time.Minute, true
		k1, s1 := e.process()
		k2, _ := e.process()
		e.take(k1, p).Release() // opens the subscription of k1
		s1.takes(50 * time.Millisecond)
		asked := make(chan *Lease)
		go func() { asked <- e.take(k1, p) }()
		time.Sleep(60 * time.Millisecond)
		got := e.contender(k2, p)
		held := <-asked
		if !contended(held) {
			e.Error("the notice is lost")
		}
		held.Release()
		<-got
	})
}

// A lease of several keys is contended when one of them is.
func TestContendedMultiLease(t *testing.T) {
	inBubble(t, func(e *env) {
		k1, _ := e.process()
		k2, _ := e.process()
		p := params(time.Minute)
		p.NotifyContention = true
		var ml MultiLease
		if err := ml.Acquire(e.Context(), k1, p, []string{"a", "b", "c"}); err != nil {
			e.Fatal(err)
		}
		ch := ml.Contended()
		p.Key = "b"
		got := e.contender(k2, p)
		<-ch
		if ml.Contended() != ch {
			e.Error("another channel")
		}
		ml.Release()
		<-got
	})
}
