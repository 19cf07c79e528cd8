package redisstore

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/internal/taskgroup"
)

// A full server lets what has been counted come to its end; only more is refused.
func TestWaitGroupOutOfMemory(t *testing.T) {
	t.Parallel()
	refused := func(g *group, what taskgroup.Op, of any) {
		g.Helper()
		g.unchanged("what is new", func() {
			_, err := g.UpdateGroup(g.Context(), g.next("s", what, of))
			expect(g.T, string(what), err, "passing", "OOM")
		})
	}
	g, s := realGroup(t)
	full := func(on bool) {
		t.Helper()
		s.Do(t, "CONFIG", "SET", "maxmemory", map[bool]string{true: "1", false: "0"}[on])
	}
	full(true)
	for range 2 { // when there is no group, and when one is over
		refused(g, taskgroup.OpAdd, 1)
		refused(g, taskgroup.OpStart, e)
		full(false)
		g.counts("s", taskgroup.OpAdd, 1)
		g.counts("s", taskgroup.OpAdd, -1)
		full(true)
	}
	full(false)
	g.counts("s", taskgroup.OpAdd, 6)
	g.counts("s", taskgroup.OpStart, a)
	start := g.counts("s", taskgroup.OpStart, b)
	joined := g.counts("s", taskgroup.OpClaim, c)
	added := g.counts("s", taskgroup.OpAdd, 2)
	g.counts("s", taskgroup.OpStart, d)
	number := g.status(0).Number
	full(true)
	refused(g, taskgroup.OpAdd, 1)
	refused(g, taskgroup.OpStart, e)
	refused(g, taskgroup.OpClaim, e)
	g.stands("full", "7 a b c d")

	ends := func(token string, in time.Duration) {
		t.Helper()
		full(false)
		g.ends(token, in)
		full(true)
	}
	ends(b, time.Second)
	equal(t, "a repetition", g.send(start), taskgroup.Applied)
	g.lives(b, lockTTL)
	ends(a, time.Second)
	equal(t, "renewed", g.renew(a, lockTTL), true)
	g.lives(a, lockTTL)
	added.Op, joined.Op = taskgroup.OpUndo, taskgroup.OpUndo
	equal(t, "undo of an add", g.send(added), taskgroup.Applied)
	equal(t, "undo of a join", g.send(joined), taskgroup.Applied)
	g.counts("s", taskgroup.OpAdd, -6)
	g.counts("s", taskgroup.OpAbandon, b)
	g.answers(taskgroup.TaskAbandoned, "s", taskgroup.OpDone, e)
	g.stands("at length", "0 a d -1")
	ends(a, time.Hour) // the clock is set back
	equal(t, "left", g.status(0).Remaining, 2)
	g.lives(a, lockTTL)
	ends(a, -time.Millisecond)
	equal(t, "left", g.status(0).Remaining, 1)
	said := g.published(func() { g.counts("s", taskgroup.OpDone, d) })
	equal(t, "told", fmt.Sprint(said), fmt.Sprint([]string{g.ended(number, 2)}))
	equal(t, "lost", g.status(0).Abandoned[number], 2)
}

// Redis lets a script go on that has begun to write, so that what would be refused is
// counted if it has had to end a task before.
func TestWaitGroupOutOfMemoryWhenTasksEnd(t *testing.T) {
	t.Parallel()
	g, s := realGroup(t)
	g.counts("s", taskgroup.OpStart, a)
	number := g.status(0).Number
	g.ends(a, -time.Millisecond)
	s.Do(t, "CONFIG", "SET", "maxmemory", "1")
	said := g.published(func() { g.counts("s", taskgroup.OpStart, b) })
	equal(t, "told", fmt.Sprint(said), fmt.Sprint([]string{g.ended(number, 1)}))
	g.stands("then", "0 b")
}

// That a generation is over need not be told: who waits looks from time to time.
func TestWaitGroupWithoutPermissionToPublish(t *testing.T) {
	t.Parallel()
	g, s := realGroup(t)
	u := g.user(s, "~*", "resetchannels", "+@all")
	said := g.published(func() {
		u.counts("s", taskgroup.OpAdd, 1)
		u.counts("s", taskgroup.OpStart, a)
		u.counts("s", taskgroup.OpAbandon, a)
		u.counts("s", taskgroup.OpAdd, -1)
	})
	equal(t, "messages", len(said), 0)
	r := u.status(0)
	equal(t, "then", fmt.Sprint(r), fmt.Sprint(taskgroup.Generation{Number: r.Number, OldestKnown: r.Number, Abandoned: map[int64]int64{r.Number: 1}}))
	g.expiry(g.key, groupKept)
	g.counts("s", taskgroup.OpStart, b)
	g.ends(b, -time.Millisecond)
	equal(t, "left", u.status(0).Remaining, 0)
}

// A script may touch nothing but its keys, and so works on each slot of a cluster.
func TestWaitGroupOnOneSlot(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	g := newGroup(t, s.Client(t), "some{tag}key")
	u := g.user(s, "~some{tag}key", "~baton:{tag}:*", "&baton:{tag}:*", "+@all")
	said := g.published(func() {
		u.counts("s", taskgroup.OpAdd, 1)
		u.counts("s", taskgroup.OpClaim, a)
		equal(t, "renewed", u.renew(a, lockTTL), true)
		u.counts("s", taskgroup.OpAbandon, a)
		equal(t, "left", u.status(0).Remaining, 0)
	})
	equal(t, "told", fmt.Sprint(said), fmt.Sprint([]string{g.ended(u.status(0).Number, 1)}))
	none := g.user(s, "~some{tag}key", "&*", "+@all")
	g.unchanged("without its operations", func() {
		_, err := none.UpdateGroup(t.Context(), none.next("t", taskgroup.OpAdd, 1))
		expect(t, "change", err, "denied", "")
	})
}

// Every key has its own group, and the messages name it to the byte.
func TestWaitGroupOddKeys(t *testing.T) {
	t.Parallel()
	eachGroup(t, func(g *group) {
		groups := map[string]*group{}
		said := g.published(func() {
			for i, key := range odd {
				groups[key] = newGroup(g.T, g.rdb, key)
				groups[key].counts("s", taskgroup.OpAdd, i+1)
				groups[key].counts("s", taskgroup.OpClaim, a)
				equal(g.T, "renewed", groups[key].renew(a, lockTTL), true)
			}
			for i, key := range odd {
				equal(g.T, fmt.Sprintf("left of %.30q", key), groups[key].status(0).Remaining, int64(i+1))
				groups[key].counts("s", taskgroup.OpAdd, -i)
				groups[key].counts("s", taskgroup.OpDone, a)
			}
		})
		equal(g.T, "messages", len(said), len(odd))
		equal(g.T, "keys", g.rdb.DBSize(g.Context()).Val(), int64(2*len(odd)))
		for i, key := range odd {
			if r := groups[key].status(0); said[i] != groups[key].ended(r.Number, 0) || r.Remaining != 0 {
				g.Errorf("%.30q: %+v, told %.100q", key, r, said[i])
			}
		}
	})
}

func TestWaitGroupRefusedKeys(t *testing.T) {
	t.Parallel()
	eachServer(t, func(r *rig) {
		for _, key := range []string{"", "baton:{x}:done", "baton:{"} {
			_, err := r.UpdateGroup(r.Context(), taskgroup.Operation{Key: key, Session: "s", Seq: 1, Op: taskgroup.OpAdd, Delta: 1})
			expect(r.T, "change", err, "permanent", "key")
			_, err = r.GroupStatus(r.Context(), key, 0)
			expect(r.T, "look", err, "permanent", "key")
			if _, err = r.DoneChannel(key); err == nil {
				r.Errorf("%q has a channel", key)
			}
		}
		equal(r.T, "keys", r.all(), "")
	})
}

// A script that answers something else must not be read as zeros.
func TestWaitGroupUnexpectedReply(t *testing.T) {
	eachGroup(t, func(g *group) {
		change, look := groupUpdate, groupStatus
		defer func() { groupUpdate, groupStatus = change, look }()
		for _, text := range []string{"return 1", "return {1}", "return {'a', 2}", "return {1, 2, 3}", "return 'OK'", "return {}"} {
			fake := &script{text: text, sha: strings.Repeat("0", 40)}
			groupUpdate, groupStatus = fake, fake
			_, err := g.UpdateGroup(g.Context(), g.next("s", taskgroup.OpAdd, 1))
			expect(g.T, text, err, "unknown", "unexpected")
			_, err = g.GroupStatus(g.Context(), g.key, 0)
			expect(g.T, text, err, "unknown", "unexpected")
		}
	})
}
