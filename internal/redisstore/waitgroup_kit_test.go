package redisstore

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/taskgroup"
)

// groupTTL is how long lib/waitgroup.lua keeps a group after its last use.
const groupTTL = 24 * time.Hour

// group is one wait group and its server. It is at the rig's lock key.
type group struct {
	*rig
	channel string
	numbers map[string]int64 // the last number of each session
}

func newGroup(t *testing.T, rdb *redis.Client, key string) *group {
	t.Helper()
	r := newRig(t, rdb, key)
	return &group{r, must(r.DoneChannel(key))(t), map[string]int64{}}
}

func (r *rig) group() *group { return newGroup(r.T, r.rdb, r.lock) }

func eachGroup(t *testing.T, f func(g *group)) {
	eachServer(t, func(r *rig) { f(r.group()) })
}

func groupAt(key string) lease.Name { return lease.Name{Kind: taskgroup.Kind, Key: key} }

func (g *group) operations(session string) string {
	base, suffix, err := keyParts(g.lock)
	check(g.T, err)
	return base + "ops:" + session + suffix
}

// next returns the next operation of a session. Its argument is the token of a task, or a delta.
func (g *group) next(session string, op taskgroup.Op, arg any) taskgroup.Operation {
	g.numbers[session]++
	o := taskgroup.Operation{Key: g.lock, Session: session, Seq: g.numbers[session], Op: op}
	switch arg := arg.(type) {
	case int:
		o.Delta = int64(arg)
	case string:
		o.Token = arg
	}
	if op == taskgroup.OpStart || op == taskgroup.OpClaim {
		ms := 0
		must(fmt.Sscanf(o.Token, "baton:%d", &ms))(g.T)
		o.TTL = time.Duration(ms) * time.Millisecond
	}
	return o
}

func (g *group) send(o taskgroup.Operation) taskgroup.Outcome {
	g.Helper()
	return must(g.UpdateGroup(g.Context(), o))(g.T).Outcome
}

// updates sends the next operation of a session, and checks its outcome.
func (g *group) updates(want taskgroup.Outcome, session string, op taskgroup.Op, arg any) taskgroup.Operation {
	g.Helper()
	o := g.next(session, op, arg)
	equal(g.T, fmt.Sprint(session, "'s ", op, " ", arg), g.send(o), want)
	return o
}

func (g *group) applies(session string, op taskgroup.Op, arg any) taskgroup.Operation {
	g.Helper()
	return g.updates(taskgroup.Applied, session, op, arg)
}

func (g *group) status(from int64) taskgroup.Generation {
	g.Helper()
	return must(g.GroupStatus(g.Context(), g.lock, from))(g.T)
}

func (g *group) renew(token string, ttl time.Duration) (held bool) {
	g.Helper()
	got := renewAll(g, []lease.Renewal{{Name: groupAt(g.lock), Token: token, TTL: ttl}})[0]
	return must(got.Held, got.Err)(g.T)
}

// setEnd sets when a task ends. The server stores that only as the score.
func (g *group) setEnd(token string, in time.Duration) {
	g.Helper()
	score := float64(g.now().Add(in).UnixMilli())
	check(g.T, g.rdb.ZAddXX(g.Context(), g.lock, redis.Z{Score: score, Member: token}).Err())
}

// taskRemains checks that a task got a TTL of ttl after the rig was made.
func (g *group) taskRemains(token string, ttl time.Duration) {
	g.Helper()
	ends := must(g.rdb.ZScore(g.Context(), g.lock, token).Result())(g.T)
	g.remains(token, time.Duration(int64(ends)-g.now().UnixMilli())*time.Millisecond, ttl)
}

// storedState returns the text of the group's state, and its tasks with the times of their ends.
func (g *group) storedState() (state string, tasks map[string]float64) {
	g.Helper()
	tasks = map[string]float64{}
	for _, z := range g.rdb.ZRangeWithScores(g.Context(), g.lock, 0, -1).Val() {
		switch text := z.Member.(string); {
		case z.Score > 0:
			tasks[text] = z.Score
		case z.Score == 0:
			state += text // there must be only one
		}
	}
	return state, tasks
}

// checkState checks the stored count, the tasks, and how many tasks of the last generation were
// abandoned, as in "1 a -2". It does not use GroupStatus, which would end tasks.
func (g *group) checkState(what, want string) {
	g.Helper()
	var number, count, abandoned, since int64
	state, tasks := g.storedState()
	_, _ = fmt.Sscanf(state, "generation %d count %d abandoned %d since %d", &number, &count, &abandoned, &since)
	got := strconv.FormatInt(count, 10)
	for _, token := range slices.Sorted(maps.Keys(tasks)) {
		got += " " + short(token)
	}
	if abandoned > 0 {
		got += fmt.Sprint(" -", abandoned)
	}
	equal(g.T, what, got, want)
}

// ended returns the message for a finished generation.
func (g *group) ended(number, abandoned int64) string {
	return fmt.Sprintf("[%s: w %d 0 0 %d 0 - %s]", g.channel, number, abandoned, g.lock)
}
