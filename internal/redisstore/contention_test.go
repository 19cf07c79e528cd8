package redisstore

import (
	"fmt"
	"slices"
	"testing"

	"github.com/seed-3d5fec5c/baton/internal/lease"
)

// Tokens of claims that ask for a contention notice. The second may also linger.
const (
	wantsNotice = "baton:10000:host:7:process:1!"
	mayLinger   = "baton:10000:host:7:process:1~:with%3Alabel"
)

// notices returns how many notices to owner f publishes. There must be no other messages.
func (r *rig) notices(kind lease.Kind, owner string, f func()) (n int) {
	r.Helper()
	want := fmt.Sprintf("baton:process: %c 0 0 0 0 1 %s -", kind, owner)
	messages := r.published(f)
	if slices.ContainsFunc(messages, func(m string) bool { return m != want }) {
		r.Errorf("published %q, want %q only", messages, want)
	}
	return len(messages)
}

// The first waiter in the queue notifies an owner that asks for it, and repeats that with each poll.
// Waiters behind it and tries do not notify.
func TestFirstWaiterNotifiesTheOwner(t *testing.T) {
	eachPath(t, func(r *rig) {
		for owner, lingers := range map[string]bool{wantsNotice: false, mayLinger: true} {
			equal(t, "contended at first", r.acquire(owner, 0).Contended, false)
			acquire := func(token string, n int64) func() {
				return func() {
					reply := r.acquire(token, n)
					equal(t, outcome(reply)+" behind "+owner+", which may linger", reply.MayLinger, lingers)
				}
			}
			equal(t, "notices of a try", r.notices(lease.Mutex, owner, acquire(b, 0)), 0)
			equal(t, "notices of the first waiter", r.notices(lease.Mutex, owner, acquire(b, 1)), 1)
			equal(t, "notices of the second", r.notices(lease.Mutex, owner, acquire(c, 1)), 0)
			equal(t, "notices of its poll", r.notices(lease.Mutex, owner, acquire(c, 2)), 0)
			equal(t, "notices of the poll of the first", r.notices(lease.Mutex, owner, acquire(b, 2)), 1)
			r.makeStale(b)
			equal(t, "notices once the first is stale", r.notices(lease.Mutex, owner, acquire(c, 3)), 1)
			equal(t, "contended", r.acquire(owner, 0).Contended, true)
			for _, token := range []string{c, b, owner} {
				r.release(token)
			}
		}
		r.held(a)
		equal(t, "notices to an owner that does not ask for them", len(r.published(func() { r.acquire(b, 1) })), 0)
	})
}

// Holders of permits that ask for notices get them in the same way: writers, readers and holders of a
// semaphore.
func TestFirstWaiterNotifiesTheHolders(t *testing.T) {
	list := map[string]func(r *rig) (p *permits, weight int64){
		"semaphore": func(r *rig) (*permits, int64) { return r.semaphore(), 3 },
		"writer":    func(r *rig) (*permits, int64) { return r.rwMutex(), exclusive },
		"reader":    func(r *rig) (*permits, int64) { return r.rwMutex(), 1 },
	}
	eachServer(t, func(r *rig) {
		rows(r, list, func(rig *rig, row func(*rig) (*permits, int64)) {
			r, weight := row(rig)
			for owner, lingers := range map[string]bool{wantsNotice: false, mayLinger: true} {
				r.has(owner, weight)
				notices := func(what string, want int, q lease.Request) {
					r.Helper()
					got := r.notices(r.name.Kind, owner, func() { equal(r.T, "may linger", r.send(q).MayLinger, lingers && !q.Enqueue) })
					equal(r.T, "notices of "+what, got, want)
				}
				notices("a try", 0, r.try(b, 1, 0, r.size))
				notices("the first waiter", 1, r.update(b, 2, 0, r.size))
				notices("the second", 0, r.update(c, 1, 0, 1))
				notices("the poll of the first", 1, r.again(b, 3, 2, 0, r.size))
				for _, token := range []string{c, b, owner} {
					r.release(token)
				}
			}
			r.has(a, r.size)
			equal(r.T, "notices to a holder that does not ask for them", len(r.published(func() { r.state(b, 1, 0, r.size) })), 0)
		})
	})
}
