package redisstore

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// rigs are several locks of one server.
type rigs []*rig

func (r *rig) rigs(keys ...string) (rs rigs) {
	for _, key := range keys {
		one := newRig(r.T, r.rdb, key)
		one.made = r.made
		rs = append(rs, one)
	}
	return rs
}

// token is what the ith of several claims goes by.
func token(i int) string { return fmt.Sprint("baton:10000:me", i) }

// ask asks for all, in one step; n is 0 for no entry.
func (rs rigs) ask(all bool, n int64) ([]lease.Reply, error) {
	var requests []lease.Request
	for i, r := range rs {
		requests = append(requests, r.request(token(i), n))
	}
	return rs[0].AskAll(rs[0].Context(), all, requests)
}

func (rs rigs) release() ([]lease.Released, error) {
	var places []lease.Place
	for i, r := range rs {
		places = append(places, lease.Place{Key: r.lock, Token: token(i)})
	}
	return rs[0].ReleaseAll(rs[0].Context(), places)
}

func outcomes(replies []lease.Reply, err error) string {
	list := []string{}
	for _, r := range replies {
		list = append(list, outcome(r))
	}
	return strings.Join(append(list, class(err)), " ")
}

// owned is which of several are still released for the caller.
func owned(released []lease.Released, err error) string {
	list := []string{}
	for _, r := range released {
		list = append(list, fmt.Sprint(r.Owned, " ", class(r.Err)))
	}
	return strings.Join(append(list, class(err)), ", ")
}

func TestTogetherTakesFreeLocks(t *testing.T) {
	t.Parallel()
	eachServer(t, func(r *rig) {
		for _, all := range []bool{false, true} {
			rs := r.rigs("a}b", "nul\x00", "two words")
			got, err := rs.ask(all, 0)
			equal(t, "reply", outcomes(got, err), "granted granted granted nil")
			again := must(rs.ask(all, 0))(t)
			for i, r := range rs {
				equal(t, "owner", r.owner(), token(i))
				equal(t, "base", got[i].Base, r.last())
				equal(t, "reply to a repetition", again[i], got[i])
				r.expiry(r.lock, lockTTL)
			}
			equal(t, "released", owned(rs.release()), "true nil, true nil, true nil, nil")
			equal(t, "released again", owned(rs.release()), "false nil, false nil, false nil, nil")
			equal(t, "keys: a fence for each", int(r.rdb.DBSize(r.Context()).Val()), len(rs))
		}
	})
}

// scenes are what a lock can be like when the claim me asks for it.
var scenes = []struct {
	name string
	make func(r *rig, me string)
}{
	{"free", func(*rig, string) {}},
	{"held", func(r *rig, _ string) { r.held(a) }},
	{"awaited", func(r *rig, _ string) { r.held(a, b, c) }},
	{"expired", func(r *rig, _ string) { r.held(a, b, c); r.expires() }},
	{"its waiter dead", func(r *rig, _ string) { r.held(a, b); r.dies(b); r.expires() }},
	{"mine", func(r *rig, me string) { r.held(me, b) }},
	{"my turn", func(r *rig, me string) { r.held(a, me, b); r.expires() }},
	{"foreign", func(r *rig, _ string) { check(r.T, r.rdb.Set(r.Context(), r.lock, "x", time.Minute).Err()) }},
	{"a list", func(r *rig, _ string) { r.put(r.lock, "list") }},
}

// eachScene runs f for pairs of locks, in all states that the two can be in.
func eachScene(t *testing.T, f func(one, two rigs, what string)) {
	eachServer(t, func(r *rig) {
		for _, x := range scenes {
			for _, y := range scenes {
				check(r.T, r.rdb.FlushAll(r.Context()).Err())
				one, two := r.rigs("one1", "one2"), r.rigs("two1", "two2")
				for _, rs := range []rigs{one, two} {
					x.make(rs[0], token(0))
					y.make(rs[1], token(1))
				}
				f(one, two, x.name+" and "+y.name)
			}
		}
	})
}

// states is what the server stores for the locks, without times and names.
func (rs rigs) states() string {
	text := ""
	for _, r := range rs {
		if r.rdb.Type(r.Context(), r.lock).Val() == "list" {
			text += "a list\n"
			continue
		}
		text += state(r, new(hold), false) + "\n"
	}
	return text
}

// What one step does is what the same requests do one by one, up to the first
// that is not granted.
func TestTogetherIsLikeOneByOne(t *testing.T) {
	t.Parallel()
	eachScene(t, func(one, two rigs, what string) {
		for _, n := range []int64{0, 1} {
			got, err := one.ask(false, n)
			var want []lease.Reply
			var wantErr error
			for i, r := range two {
				var reply lease.Reply
				if reply, wantErr = r.Ask(r.Context(), r.request(token(i), n)); wantErr != nil {
					break
				}
				if want = append(want, reply); !reply.Granted {
					break
				}
			}
			equal(t, what+": reply", outcomes(got, err), outcomes(want, wantErr))
			equal(t, what+": state", one.states(), two.states())
		}
		released, err := one.release()
		check(t, err)
		for i, r := range two {
			was, err := r.Release(r.Context(), mutexAt(r.lock), token(i))
			equal(t, what+": released", released[i], lease.Released{Owned: was, Err: err})
		}
		equal(t, what+": state after release", one.states(), two.states())
	})
}

// All or none takes both if both can be had, and holds neither if not. What it
// finds expired it hands over like any other request.
func TestAllOrNone(t *testing.T) {
	t.Parallel()
	can := map[string]bool{"free": true, "its waiter dead": true, "mine": true, "my turn": true}
	eachScene(t, func(one, two rigs, what string) {
		x, y, _ := strings.Cut(what, " and ")
		got, err := one.ask(true, 1)
		said := outcomes(got, err)
		if can[x] && can[y] {
			equal(t, what, said, "granted granted nil")
			return
		}
		if strings.Contains(said, "granted") || err == nil && len(got) < 2 && can[x] {
			t.Errorf("%s: %s", what, said)
		}
		for i, r := range one {
			if r.owner() == token(i) {
				t.Errorf("%s: holds %d", what, i)
			}
			if strings.Contains(r.waiting(), token(i)) && !strings.Contains(two[i].waiting(), token(i)) {
				t.Errorf("%s: queues for %d", what, i)
			}
			if name := []string{x, y}[i]; name == "mine" {
				equal(t, what+": the next", r.owner(), b)
			}
		}
		if quiet := "free held awaited foreign"; strings.Contains(quiet, x) && strings.Contains(quiet, y) {
			equal(t, what+": state", one.states(), two.states())
			equal(t, what+": fence", one[0].last() != 0, two[0].last() != 0) // nothing was written
		}
	})
}

// A lock that cannot be released keeps none of the others.
func TestReleaseAllIsolatesErrors(t *testing.T) {
	t.Parallel()
	eachServer(t, func(r *rig) {
		rs := r.rigs("k1", "k2", "k3", "k4")
		must(rs.ask(false, 1))(t)
		rs[0].ask(b, 1)
		rs[3].ask(b, 1)
		rs[1].put(rs[1].fence, "list")
		rs[2].put(rs[2].lock, "list")
		said := r.published(func() {
			equal(t, "released", owned(rs.release()), "true nil, false permanent, false nil, true nil, nil")
		})
		equal(t, "messages", len(said), 2)
		equal(t, "owner", rs[1].owner(), token(1))
	})
}

// A cluster takes locks of one slot in one script, and refuses others.
func TestTogetherInACluster(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, "--cluster-enabled", "yes")
	s.Do(t, "CLUSTER", "ADDSLOTSRANGE", 0, 16383)
	redistest.Eventually(t, 10*time.Second, func() bool {
		return strings.Contains(s.Do(t, "CLUSTER", "INFO").(string), "cluster_state:ok")
	}, "the cluster does not form")
	rdb := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{s.Addr()}})
	defer rdb.Close()
	m := NewStore(rdb)
	ask := func(keys ...string) (replies []lease.Reply, err error) {
		var rs []lease.Request
		for i, key := range keys {
			rs = append(rs, lease.Request{Name: mutexAt(key), Token: token(i), TTL: lockTTL, Grant: grantTTL})
		}
		return m.AskAll(t.Context(), false, rs)
	}
	equal(t, "one slot", m.Joins("{a}1", "{a}2"), true)
	equal(t, "reply", outcomes(ask("{a}1", "{a}2", "a")), "granted granted granted nil")
	equal(t, "two slots", m.Joins("a", "b"), false)
	_, err := ask("a", "b")
	expect(t, "two slots", err, "permanent", "CROSSSLOT")
}

// TestJoins: nobody knows of one server, or of one address, that it is one.
func TestJoins(t *testing.T) {
	for name, rdb := range map[string]redis.UniversalClient{
		"one server": redis.NewClient(&redis.Options{}), "a cluster": redis.NewClusterClient(&redis.ClusterOptions{}),
	} {
		s := NewStore(rdb)
		equal(t, name+", two tags", s.Joins("a", "b"), false)
		equal(t, name+", one tag", s.Joins("{a}1", "{a}2"), true)
		equal(t, name+", a key and its tag", s.Joins("a", "{a}2"), true)
		check(t, rdb.Close())
	}
}

func TestInOrder(t *testing.T) {
	got := InOrder([]string{"c", "{b}2", "a", "b", "c", "{b}1", "a"})
	for i, key := range got[1:] {
		if before := got[i]; slot(before) > slot(key) || slot(before) == slot(key) && before >= key {
			t.Errorf("%q stands before %q", before, key)
		}
	}
	equal(t, "number", len(got), 5)
	equal(t, "the order of another list", fmt.Sprint(InOrder([]string{"{b}1", "{b}2", "c", "b", "a"})), fmt.Sprint(got))
}
