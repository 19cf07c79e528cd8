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

// groupTTL is for how long lib/waitgroup.lua keeps a group that is in use.
const groupTTL = 24 * time.Hour

// group is one wait group, and the server it is on.
type group struct {
	*rig         // with the group's key as its lock
	key, channel string
	numbers      map[string]int64 // given last, by each session
}

func newGroup(t *testing.T, rdb *redis.Client, key string) *group {
	t.Helper()
	r := &rig{T: t, Store: NewStore(rdb), rdb: rdb, lock: key, made: time.Now()}
	return &group{r, key, must(r.DoneChannel(key))(t), map[string]int64{}}
}

func eachGroup(t *testing.T, f func(g *group)) {
	eachServer(t, func(r *rig) { f(newGroup(r.T, r.rdb, r.lock)) })
}

// rows runs subtests one after the other, each on a server that is empty.
func (g *group) rows(list map[string]func(*group)) {
	rigs := map[string]func(*rig){}
	for name, f := range list {
		rigs[name] = func(row *rig) { f(newGroup(row.T, row.rdb, g.key)) }
	}
	g.rig.rows(rigs)
}

// realGroup is a group on a redis-server of its own.
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

// next is the next operation of a session, on a task's token or on the count.
func (g *group) next(session string, what taskgroup.Op, of any) taskgroup.Operation {
	g.Helper()
	g.numbers[session]++
	c := taskgroup.Operation{Key: g.key, Session: session, Seq: g.numbers[session], Op: what}
	switch of := of.(type) {
	case int:
		c.Delta = int64(of)
	case string:
		c.Token = of
	}
	if what == taskgroup.OpStart || what == taskgroup.OpClaim {
		c.TTL = ttlOf(c.Token)
	}
	return c
}

// ttlOf is what a token says.
func ttlOf(token string) time.Duration {
	ms, _ := strconv.Atoi(strings.Split(token, ":")[1])
	return time.Duration(ms) * time.Millisecond
}

func (g *group) send(c taskgroup.Operation) taskgroup.Outcome {
	g.Helper()
	return must(g.UpdateGroup(g.Context(), c))(g.T).Outcome
}

// answers makes the next operation of a session, and checks the answer.
func (g *group) answers(want taskgroup.Outcome, session string, what taskgroup.Op, of any) taskgroup.Operation {
	g.Helper()
	c := g.next(session, what, of)
	equal(g.T, fmt.Sprint(session, "'s ", what, " ", of), g.send(c), want)
	return c
}

func (g *group) counts(session string, what taskgroup.Op, of any) taskgroup.Operation {
	g.Helper()
	return g.answers(taskgroup.Applied, session, what, of)
}

func (g *group) status(from int64) taskgroup.Generation {
	g.Helper()
	return must(g.GroupStatus(g.Context(), g.key, from))(g.T)
}

func (g *group) renew(token string, ttl time.Duration) (kept bool) {
	g.Helper()
	got := renewAll(g, []lease.Renewal{{Name: lease.Name{Kind: taskgroup.Kind, Key: g.key}, Token: token, TTL: ttl}})[0]
	return must(got.Held, got.Err)(g.T)
}

// ends sets when a task ends: the score is all that the server knows of that.
func (g *group) ends(token string, in time.Duration) {
	g.Helper()
	score := float64(g.now().Add(in).UnixMilli())
	check(g.T, g.rdb.ZAddXX(g.Context(), g.key, redis.Z{Score: score, Member: token}).Err())
}

// lives checks that a task has about so much to go.
func (g *group) lives(token string, ttl time.Duration) {
	g.Helper()
	ends := must(g.rdb.ZScore(g.Context(), g.key, token).Result())(g.T)
	g.remains(token, time.Duration(int64(ends)-g.now().UnixMilli())*time.Millisecond, ttl)
}

// storedGroup is the state of a group, and its tasks.
type storedGroup struct {
	state                           string // "": there is none
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

// String is the count, the tasks, and how many were abandoned of the last generation.
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

// stands checks what is counted, without a look, as that ends tasks.
func (g *group) stands(what, want string) {
	g.Helper()
	equal(g.T, what, g.stored().String(), want)
}

// ended is the message that a generation is over.
func (g *group) ended(number, abandoned int64) string {
	return fmt.Sprintf("%s: w %d 0 0 %d 0 - %s", g.channel, number, abandoned, g.key)
}
