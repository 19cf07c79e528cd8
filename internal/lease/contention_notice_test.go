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

// eachKind runs f for each primitive, with parameters of an exclusive hold.
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

// contender requests a lease, and releases it immediately. It closes got afterwards.
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

// A holder that asks for it gets one contention notice when another process waits, and none for
// waiters of its own process.
func TestContendedByTheNotice(t *testing.T) {
	eachKind(t, func(e *env, p Params) {
		m1, _, m2, _ := e.twoProcesses()
		p.NotifyContention = true
		held := e.acquire(m1, p)
		if p.Kind != Semaphore { // a local waiter for permits would be the first in the queue
			e.contender(m1, p)
		}
		time.Sleep(10 * time.Millisecond)
		if contended(held) {
			e.Error("contended by its own process")
		}
		sent := e.redis.messages
		got := e.contender(m2, p)
		time.Sleep(time.Millisecond)
		if !contended(held) || e.redis.messages != sent+1 {
			e.Errorf("contended: %v, by %d messages", contended(held), e.redis.messages-sent)
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

// A notice that arrives before the reply with the grant is not lost.
func TestContendedBeforeTheGrantArrives(t *testing.T) {
	eachKind(t, func(e *env, p Params) {
		p.TTL, p.NotifyContention = time.Minute, true
		m1, s1, m2, _ := e.twoProcesses()
		e.acquire(m1, p).Release() // opens the subscription of m1
		s1.setLatency(50 * time.Millisecond)
		granted := make(chan *Lease)
		go func() { granted <- e.acquire(m1, p) }()
		time.Sleep(60 * time.Millisecond)
		got := e.contender(m2, p)
		held := <-granted
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
		m1, _, m2, _ := e.twoProcesses()
		p := params(time.Minute)
		p.NotifyContention = true
		var ml MultiLease
		if err := ml.Acquire(e.Context(), m1, p, []string{"a", "b", "c"}); err != nil {
			e.Fatal(err)
		}
		ch := ml.Contended()
		p.Key = "b"
		got := e.contender(m2, p)
		<-ch
		if ml.Contended() != ch {
			e.Error("Contended returns another channel")
		}
		ml.Release()
		<-got
	})
}
