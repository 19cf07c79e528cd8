package redisstore

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/internal/taskgroup"
)

// groupTTL is how long lib/waitgroup.lua keeps a group after its last use.
const groupTTL = 24 * time.Hour

// group is one wait group and its server.
type group struct {
	*rig         // with the group's key as its lock
	key, channel string
	numbers      map[string]int64 // the last number of each session
}

func newGroup(t *testing.T, rdb *redis.Client, key string) *group {
	t.Helper()
	r := newRig(t, rdb, key)
	return &group{r, key, must(r.DoneChannel(key))(t), map[string]int64{}}
}

func eachGroup(t *testing.T, f func(g *group)) {
	eachServer(t, func(r *rig) { f(newGroup(r.T, r.rdb, r.lock)) })
}

// rows runs subtests one after the other, each on an empty server.
func (g *group) rows(list map[string]func(*group)) {
	rigs := map[string]func(*rig){}
	for name, f := range list {
		rigs[name] = func(row *rig) { f(newGroup(row.T, row.rdb, g.key)) }
	}
	g.rig.rows(rigs)
}

// realGroup returns a group on its own redis-server.
func realGroup(t *testing.T) (*group, *redistest.Server) {
	t.Parallel()
	s := redistest.Start(t)
	return newGroup(t, s.Client(t), "key"), s
}

func (g *group) operations(session string) string {
	g.Helper()
	base, suffix, err := keyParts(g.key)
	check(g.T, err)
	return base + "ops:" + session + suffix
}

// next returns the next operation of a session. Its argument is the token of a task, or a delta.
func (g *group) next(session string, op taskgroup.Op, arg any) taskgroup.Operation {
	g.Helper()
	g.numbers[session]++
	c := taskgroup.Operation{Key: g.key, Session: session, Seq: g.numbers[session], Op: op}
	switch arg := arg.(type) {
	case int:
		c.Delta = int64(arg)
	case string:
		c.Token = arg
	}
	if op == taskgroup.OpStart || op == taskgroup.OpClaim {
		c.TTL = ttlOf(c.Token)
	}
	return c
}

// ttlOf returns the TTL that a token names.
func ttlOf(token string) time.Duration {
	ms, _ := strconv.Atoi(strings.Split(token, ":")[1])
	return time.Duration(ms) * time.Millisecond
}

func (g *group) send(c taskgroup.Operation) taskgroup.Outcome {
	g.Helper()
	return must(g.UpdateGroup(g.Context(), c))(g.T).Outcome
}

// updates sends the next operation of a session, and checks its outcome.
func (g *group) updates(want taskgroup.Outcome, session string, op taskgroup.Op, arg any) taskgroup.Operation {
	g.Helper()
	c := g.next(session, op, arg)
	equal(g.T, fmt.Sprint(session, "'s ", op, " ", arg), g.send(c), want)
	return c
}

func (g *group) applies(session string, op taskgroup.Op, arg any) taskgroup.Operation {
	g.Helper()
	return g.updates(taskgroup.Applied, session, op, arg)
}

func (g *group) status(from int64) taskgroup.Generation {
	g.Helper()
	return must(g.GroupStatus(g.Context(), g.key, from))(g.T)
}

func (g *group) renew(token string, ttl time.Duration) (held bool) {
	g.Helper()
	got := renewAll(g, []lease.Renewal{{Name: lease.Name{Kind: taskgroup.Kind, Key: g.key}, Token: token, TTL: ttl}})[0]
	return must(got.Held, got.Err)(g.T)
}

// setEnd sets when a task ends. The server stores that only as the score.
func (g *group) setEnd(token string, in time.Duration) {
	g.Helper()
	score := float64(g.now().Add(in).UnixMilli())
	check(g.T, g.rdb.ZAddXX(g.Context(), g.key, redis.Z{Score: score, Member: token}).Err())
}

// taskRemains checks that a task got a TTL of ttl after the rig was made.
func (g *group) taskRemains(token string, ttl time.Duration) {
	g.Helper()
	ends := must(g.rdb.ZScore(g.Context(), g.key, token).Result())(g.T)
	g.remains(token, time.Duration(int64(ends)-g.now().UnixMilli())*time.Millisecond, ttl)
}

// storedGroup is the state of a group, and its tasks.
type storedGroup struct {
	state                           string // "" if there is none
	number, count, abandoned, since int64
	tasks                           map[string]int64 // token -> when it ends in ms
}

func (g *group) stored() storedGroup {
	g.Helper()
	s := storedGroup{tasks: map[string]int64{}}
	for _, z := range g.rdb.ZRangeWithScores(g.Context(), g.key, 0, -1).Val() {
		switch text := z.Member.(string); {
		case z.Score > 0:
			s.tasks[text] = int64(z.Score)
		case z.Score == 0 && s.state != "":
			g.Errorf("two states, %q and %q", s.state, text)
		case z.Score == 0:
			s.state = text
			must(fmt.Sscanf(text, "generation %d count %d abandoned %d since %d", &s.number, &s.count, &s.abandoned, &s.since))(g.T)
		}
	}
	return s
}

// String lists the count, the tasks, and how many tasks of the last generation were abandoned, as in
// "1 a -2".
func (s storedGroup) String() string {
	text := strconv.FormatInt(s.count, 10)
	for _, token := range slices.Sorted(maps.Keys(s.tasks)) {
		text += " " + short(token)
	}
	if s.abandoned > 0 {
		text += fmt.Sprint(" -", s.abandoned)
	}
	return text
}

// checkState checks the stored state, without GroupStatus, which would end tasks.
func (g *group) checkState(what, want string) {
	g.Helper()
	equal(g.T, what, g.stored().String(), want)
}

// ended returns the message for a finished generation.
func (g *group) ended(number, abandoned int64) string {
	return fmt.Sprintf("%s: w %d 0 0 %d 0 - %s", g.channel, number, abandoned, g.key)
}
