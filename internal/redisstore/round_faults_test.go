package redisstore

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// A full server lets what has been counted come to its end; only more is refused.
func TestRoundOutOfMemory(t *testing.T) {
	t.Parallel()
	refused := func(g *group, what lease.What, of any) {
		g.Helper()
		g.unchanged("what is new", func() {
			_, err := g.Change(g.Context(), g.next("s", what, of))
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
		refused(g, lease.Add, 1)
		refused(g, lease.Go, e)
		full(false)
		g.counts("s", lease.Add, 1)
		g.counts("s", lease.Add, -1)
		full(true)
	}
	full(false)
	g.counts("s", lease.Add, 6)
	g.counts("s", lease.Go, a)
	start := g.counts("s", lease.Go, b)
	joined := g.counts("s", lease.Join, c)
	added := g.counts("s", lease.Add, 2)
	g.counts("s", lease.Go, d)
	round := g.look(0).Number
	full(true)
	refused(g, lease.Add, 1)
	refused(g, lease.Go, e)
	refused(g, lease.Join, e)
	g.stands("full", "7 a b c d")

	ends := func(token string, in time.Duration) {
		t.Helper()
		full(false)
		g.ends(token, in)
		full(true)
	}
	ends(b, time.Second)
	equal(t, "a repetition", g.send(start), lease.Counted)
	g.lives(b, lockTTL)
	ends(a, time.Second)
	equal(t, "renewed", g.renew(a, lockTTL), true)
	g.lives(a, lockTTL)
	added.What, joined.What = lease.Undo, lease.Undo
	equal(t, "undo of an add", g.send(added), lease.Counted)
	equal(t, "undo of a join", g.send(joined), lease.Counted)
	g.counts("s", lease.Add, -6)
	g.counts("s", lease.Drop, b)
	g.answers(lease.Missed, "s", lease.Done, e)
	g.stands("at length", "0 a d -1")
	ends(a, time.Hour) // the clock is set back
	equal(t, "left", g.look(0).Left, 2)
	g.lives(a, lockTTL)
	ends(a, -time.Millisecond)
	equal(t, "left", g.look(0).Left, 1)
	said := g.published(func() { g.counts("s", lease.Done, d) })
	equal(t, "told", fmt.Sprint(said), fmt.Sprint([]string{g.ended(round, 2)}))
	equal(t, "lost", g.look(0).Lost[round], 2)
}

// Redis lets a script go on that has begun to write, so that what would be refused is
// counted if it has had to end a task before.
func TestRoundOutOfMemoryWhenTasksEnd(t *testing.T) {
	t.Parallel()
	g, s := realGroup(t)
	g.counts("s", lease.Go, a)
	round := g.look(0).Number
	g.ends(a, -time.Millisecond)
	s.Do(t, "CONFIG", "SET", "maxmemory", "1")
	said := g.published(func() { g.counts("s", lease.Go, b) })
	equal(t, "told", fmt.Sprint(said), fmt.Sprint([]string{g.ended(round, 1)}))
	g.stands("then", "0 b")
}

// That a round is over need not be told: who waits looks from time to time.
func TestRoundWithoutPermissionToPublish(t *testing.T) {
	t.Parallel()
	g, s := realGroup(t)
	u := g.user(s, "~*", "resetchannels", "+@all")
	said := g.published(func() {
		u.counts("s", lease.Add, 1)
		u.counts("s", lease.Go, a)
		u.counts("s", lease.Drop, a)
		u.counts("s", lease.Add, -1)
	})
	equal(t, "messages", len(said), 0)
	r := u.look(0)
	equal(t, "then", fmt.Sprint(r), fmt.Sprint(lease.Round{Number: r.Number, Since: r.Number, Lost: map[int64]int64{r.Number: 1}}))
	g.expiry(g.key, groupKept)
	g.counts("s", lease.Go, b)
	g.ends(b, -time.Millisecond)
	equal(t, "left", u.look(0).Left, 0)
}

// A script may touch nothing but its keys, and so works on each slot of a cluster.
func TestRoundOnOneSlot(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	g := newGroup(t, s.Client(t), "some{tag}key")
	u := g.user(s, "~some{tag}key", "~baton:{tag}:*", "&baton:{tag}:*", "+@all")
	said := g.published(func() {
		u.counts("s", lease.Add, 1)
		u.counts("s", lease.Join, a)
		equal(t, "renewed", u.renew(a, lockTTL), true)
		u.counts("s", lease.Drop, a)
		equal(t, "left", u.look(0).Left, 0)
	})
	equal(t, "told", fmt.Sprint(said), fmt.Sprint([]string{g.ended(u.look(0).Number, 1)}))
	none := g.user(s, "~some{tag}key", "&*", "+@all")
	g.unchanged("without its operations", func() {
		_, err := none.Change(t.Context(), none.next("t", lease.Add, 1))
		expect(t, "change", err, "denied", "")
	})
}

// Every key has its own group, and the messages name it to the byte.
func TestRoundOddKeys(t *testing.T) {
	t.Parallel()
	eachGroup(t, func(g *group) {
		groups := map[string]*group{}
		said := g.published(func() {
			for i, key := range odd {
				groups[key] = newGroup(g.T, g.rdb, key)
				groups[key].counts("s", lease.Add, i+1)
				groups[key].counts("s", lease.Join, a)
				equal(g.T, "renewed", groups[key].renew(a, lockTTL), true)
			}
			for i, key := range odd {
				equal(g.T, fmt.Sprintf("left of %.30q", key), groups[key].look(0).Left, int64(i+1))
				groups[key].counts("s", lease.Add, -i)
				groups[key].counts("s", lease.Done, a)
			}
		})
		equal(g.T, "messages", len(said), len(odd))
		equal(g.T, "keys", g.rdb.DBSize(g.Context()).Val(), int64(2*len(odd)))
		for i, key := range odd {
			if r := groups[key].look(0); said[i] != groups[key].ended(r.Number, 0) || r.Left != 0 {
				g.Errorf("%.30q: %+v, told %.100q", key, r, said[i])
			}
		}
	})
}

func TestRoundRefusedKeys(t *testing.T) {
	t.Parallel()
	eachServer(t, func(r *rig) {
		for _, key := range []string{"", "baton:{x}:over", "baton:{"} {
			_, err := r.Change(r.Context(), lease.Change{Key: key, Session: "s", Op: 1, What: lease.Add, Delta: 1})
			expect(r.T, "change", err, "permanent", "key")
			_, err = r.Look(r.Context(), key, 0)
			expect(r.T, "look", err, "permanent", "key")
			if _, err = r.Topic(key); err == nil {
				r.Errorf("%q has a topic", key)
			}
		}
		equal(r.T, "keys", r.all(), "")
	})
}

// A script that answers something else must not be read as zeros.
func TestRoundUnexpectedReply(t *testing.T) {
	eachGroup(t, func(g *group) {
		change, look := roundChange, roundLook
		defer func() { roundChange, roundLook = change, look }()
		for _, text := range []string{"return 1", "return {1}", "return {'a', 2}", "return {1, 2, 3}", "return 'OK'", "return {}"} {
			fake := &script{text: text, sha: strings.Repeat("0", 40)}
			roundChange, roundLook = fake, fake
			_, err := g.Change(g.Context(), g.next("s", lease.Add, 1))
			expect(g.T, text, err, "unknown", "unexpected")
			_, err = g.Look(g.Context(), g.key, 0)
			expect(g.T, text, err, "unknown", "unexpected")
		}
	})
}
