package lease

import (
	"testing"
	"time"
)

// A contention notice that arrives before the reply with the grant is not lost.
func TestContendedBeforeTheGrantArrives(t *testing.T) {
	eachKind(t, func(e *env, p Params) {
		p.NotifyContention = true
		m1, s1, m2, _ := e.twoProcesses()
		e.acquire(m1, p).Release() // opens the subscription of m1
		s1.setLatency(50 * ms)
		held, granted := e.request(e.Context(), m1, p)
		time.Sleep(60 * ms) // Redis has granted the lock, and its reply is under way
		got := e.contender(m2, p)
		e.checkGranted("m1", granted, time.Second)
		<-held.Contended()
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
		l := e.acquireKeys(m1, p, "a", "b", "c")
		p.Key = "b"
		got := e.contender(m2, p)
		<-l.Contended()
		l.Release()
		<-got
	})
}

// A lease is not contended by a waiter of its own process, nor by its end.
func TestContendedOnlyByOthers(t *testing.T) {
	eachKind(t, func(e *env, p Params) {
		m, _ := e.process()
		p.NotifyContention = true
		held := e.acquire(m, p)
		contended, local := held.Contended(), p
		if p.Kind == Semaphore { // a local waiter for permits would be the first in the queue
			local.Key = "another"
		}
		got := e.contender(m, local)
		time.Sleep(10 * ms)
		held.Release()
		<-got
		select {
		case <-contended:
			e.Error("the lease is contended")
		default:
		}
	})
}
