package faults

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

// TestFaultSentinels fails over to a replica that lacks the last writes of a lock and a group (row 6).
//
// The old hold of the lock exists again. The second holder's loss is reported. The waiter gets the lock
// when the old hold has expired, and fences grow. A finished task of the group exists again, and is
// abandoned when it has expired. The second task's loss is reported, and its count can be claimed again.
func TestFaultSentinels(t *testing.T) {
	t.Parallel()
	const old, ttl = 5 * time.Second, 1500 * time.Millisecond
	s := redistest.StartSentinels(t)
	first := lock(t, mutexOf(s.Client(t), old))
	token := owner(t, s.Master)
	b, c, other := mutexOf(s.Client(t), ttl), mutexOf(s.Client(t), ttl), mutex.New(s.Client(t), "other")
	here, there := waitgroup.New(s.Client(t), "group"), waitgroup.New(s.Client(t), "group")
	here.TTL, there.TTL = ttl, ttl
	here.Add(2)
	task := claim(t, here)
	waited := there.WaitChan(t.Context())
	redistest.Eventually(t, redistest.Patience, func() bool { return s.Master.Subscribers(t, "baton:{group}:done") == 1 }, "the waiter is subscribed")
	var second *mutex.Lease
	var secondTask *waitgroup.Task
	var next <-chan mutex.Result
	s.FailOver(t, func() {
		unlock(t, first)
		second = lock(t, b)
		next = enqueue(t, s.Master, c, 1)
		check(t, task.Done())
		secondTask = claim(t, there)
	})
	start := time.Now()
	if got := owner(t, s.Replica); got != token {
		t.Fatalf("the failover has lost no write: the owner is %v", got)
	}
	status, err := waitgroup.New(s.Replica.Client(t), "group").Inspect(t.Context())
	check(t, err)
	if status.Count != 1 || len(status.Tasks) != 1 {
		t.Fatalf("the failover has lost no write of the group: %+v", status)
	}
	ctx, stop := secondTask.Context(t.Context())
	defer stop()
	locked := make(chan struct{})
	go func() {
		defer close(locked)
		other.Lock() // in sync's style, while there is no master
	}()
	expectLoss(t, second, second.Done(), start, ttl)
	receive(t, "to report the loss of the task", ctx.Done(), start, ttl)
	is(t, "Done of the lost task", secondTask.Done(), waitgroup.ErrLost)
	s.Promoted(t)
	start = time.Now()
	<-locked
	checkBound(t, "to lock when there is a master", start, time.Second+poll)
	other.Unlock()
	expectNone(t, "a wait for the remaining count", waited, 0)
	check(t, here.DoneContext(t.Context())) // the count that the second task had claimed
	abandoned(t, "the wait", receive(t, "the wait after a failover", waited, start, 2*ttl+poll), 1)
	third := grant(t, "to acquire the lock after the old hold", next, old+poll)
	expectFencesGrow(t, first, second, third)
	expectKept(t, third, ttl)
	last := enqueue(t, s.Replica, b, 1)
	unlock(t, third)
	unlock(t, grant(t, "the hand-over by the new master", last, 0))
	if n := s.Replica.Do(t, "EXISTS", "key", "baton:{key}:queue"); n != int64(0) {
		t.Errorf("%v keys of the lock are left", n)
	}
}

// TestFaultFailoverForgets fails over to one of two replicas, which is connected but has not received the
// last grants (row 75). Without Replicas, each lock is granted twice. With one confirmation, which comes
// from the other replica, too. With two or all confirmations, no lock is granted.
func TestFaultFailoverForgets(t *testing.T) {
	const locks, ttl = 8, 30 * time.Second // none is renewed before the failover
	each(t, map[string]struct{ replicas, granted int }{
		"None":        {0, locks},
		"One":         {1, locks},
		"Two":         {2, 0},
		"AllReplicas": {mutex.AllReplicas, 0},
	}, func(t *testing.T, r struct{ replicas, granted int }) {
		master := redistest.Start(t)
		master.AddReplica(t)
		link := redistest.NewForward(t, master.Addr())
		behind := master.AddReplicaAt(t, link.Port(), "--replica-priority", "1") // the sentinels prefer it
		s := redistest.WatchBySentinels(t, master, behind, 2)
		rdb, other := s.Client(t), s.Client(t)
		link.BlackholeReplies(true)

		var mu sync.Mutex
		held := map[string]*mutex.Lease{}
		ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
		defer cancel()
		var wg sync.WaitGroup
		for i := range locks {
			key := fmt.Sprint("key ", i)
			m := mutexAt(rdb, key, ttl)
			m.Replicas = r.replicas
			wg.Go(func() {
				l, err := m.LockContext(ctx)
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					held[key] = l
				} else if !errors.Is(err, mutex.ErrUnconfirmed) && !errors.Is(err, context.DeadlineExceeded) { // before the first reply, on a busy machine
					t.Errorf("%s: %v", key, err)
				}
			})
		}
		wg.Wait()
		master.Kill()
		link.Close()
		s.Promoted(t)

		twice := 0
		for i := range locks {
			key := fmt.Sprint("key ", i)
			l := lock(t, mutexAt(other, key, ample))
			if first := held[key]; first != nil && first.Err() == nil {
				twice++
				expectFencesGrow(t, first, l)
				_ = first.Unlock()
			}
			unlock(t, l)
		}
		if len(held) != r.granted || twice != r.granted {
			t.Errorf("%d locks granted, %d of them held twice; want %d", len(held), twice, r.granted)
		}
	})
}
