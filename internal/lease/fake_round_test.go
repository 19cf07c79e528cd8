package lease

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// fakeGroup is what round*.lua do with one wait group, in Go, on the clock of the
// bubble, but for the expiry of keys and for the limit on records, which take longer
// than a schedule does. Beside that it notes what has become of everything, for the checks.
type fakeGroup struct {
	*fakeRedis // its mutex guards all of this
	key        string
	skew       time.Duration // of the server's clock

	exists                         bool
	round, count, abandoned, since int64
	tasks                          map[string]int64 // token -> when it ends in ms
	lost                           map[int64]int64
	books                          map[string]*fakeBook

	story   []chapter
	counted map[string]int    // how often an addition has an effect, by its name
	fates   map[string]string // what became of a task, by its token
	kept    map[string]bool   // an undo came when what was counted could not be taken back
}

type fakeBook struct {
	low int64
	ops map[int64]fakeOp
}

type fakeOp struct {
	Change
	answer Answer
	round  int64
}

// chapter is what a wait that looks between from and the next chapter finds.
type chapter struct {
	from         time.Time
	round        int64
	goesOn, gone bool // gone: the group has been lost
	abandoned    int64
}

func newFakeGroup(r *fakeRedis, key string) *fakeGroup {
	return &fakeGroup{
		fakeRedis: r, key: key, tasks: map[string]int64{}, lost: map[int64]int64{}, books: map[string]*fakeBook{},
		story: []chapter{{from: time.Now()}}, counted: map[string]int{}, fates: map[string]string{}, kept: map[string]bool{},
	}
}

func (g *fakeGroup) now() time.Time { return time.Now().Add(g.skew) }

func (g *fakeGroup) left() int64 { return g.count + int64(len(g.tasks)) }

func (g *fakeGroup) begin() {
	if g.left() > 0 {
		return
	}
	g.round, g.abandoned = max(g.round+1, g.now().UnixMicro()), 0
	if !g.exists {
		g.exists, g.since = true, g.round
	}
	g.story = append(g.story, chapter{from: time.Now(), round: g.round, goesOn: true})
}

// write ends the round if nothing is left of it.
func (g *fakeGroup) write() (told []message) {
	if g.left() > 0 {
		return nil
	}
	if g.abandoned > 0 {
		g.lost[g.round] = g.abandoned
	}
	last := &g.story[len(g.story)-1]
	if !last.goesOn || last.round != g.round {
		g.log("round %d is over twice", g.round)
		panic("fake: a round is over twice")
	}
	g.story = append(g.story, chapter{from: time.Now(), round: g.round, abandoned: g.abandoned})
	for _, topic := range g.topics() {
		told = append(told, message{topic, Handover{Name: Name{WaitGroup, g.key}, N: g.round, Weight: g.abandoned}})
	}
	return told
}

// topics returns where it is heard when a round is over: each process has its own.
func (g *fakeGroup) topics() (list []string) {
	for channel := range g.subs {
		if strings.HasPrefix(channel, overTo) {
			list = append(list, channel)
		}
	}
	slices.Sort(list)
	return list
}

func (g *fakeGroup) purge() (told []message) {
	ms, ended := g.now().UnixMilli(), int64(0)
	for token, ends := range g.tasks {
		if most := ms + ttlOf(token).Milliseconds(); ends > most {
			g.tasks[token] = most
		}
	}
	for _, token := range slices.Sorted(maps.Keys(g.tasks)) {
		if g.tasks[token] <= ms {
			g.log("abandoned %s", short(token))
			g.fates[token] = "abandoned"
			delete(g.tasks, token)
			ended++
		}
	}
	if g.abandoned += ended; ended > 0 {
		told = g.write()
	}
	return told
}

// ttlOf is what a token says.
func ttlOf(token string) time.Duration {
	var ms int64
	if _, err := fmt.Sscanf(token, "baton:%d:", &ms); err != nil {
		panic(err)
	}
	return time.Duration(ms) * time.Millisecond
}

func (g *fakeGroup) change(c Change) (answer Answer, told []message) {
	g.mu.Lock()
	defer g.mu.Unlock()
	defer func() {
		g.log("%s %s/%d low=%d %s%+d: %d; round %d: %d and %d tasks, %d abandoned", c.What, c.Session[:4], c.Op, c.Low, short(c.Token), c.Delta,
			answer, g.round, g.count, len(g.tasks), g.abandoned)
	}()
	b := g.books[c.Session]
	if b == nil {
		b = &fakeBook{ops: map[int64]fakeOp{}}
		g.books[c.Session] = b
	}
	if c.Op <= b.low {
		return Voided, nil
	}
	told = g.purge()
	said, known := b.ops[c.Op]
	record := fakeOp{c, 0, 0}
	switch {
	case c.What == Undo:
		if record.answer = Voided; known && said.answer == Counted {
			if g.undo(said) {
				answer = Counted
				told = append(told, g.write()...)
			} else {
				g.kept[c.Token] = true
			}
		}
	case known:
		if said.answer != Counted || said.TTL == 0 {
			return said.answer, told
		}
		if _, lives := g.tasks[c.Token]; !lives {
			return Missed, told
		}
		g.tasks[c.Token] = g.now().Add(c.TTL).UnixMilli()
		return Counted, told
	default:
		if answer = g.tell(c); answer == Counted {
			told = append(told, g.write()...)
		}
		record.answer = answer
	}
	record.round = g.round
	b.ops[c.Op] = record
	if b.low = max(b.low, c.Low); b.low > 0 {
		maps.DeleteFunc(b.ops, func(op int64, _ fakeOp) bool { return op <= b.low })
	}
	return answer, told
}

// tell counts what has not been asked for before.
func (g *fakeGroup) tell(c Change) Answer {
	switch c.What {
	case Add:
		if g.count+c.Delta < 0 {
			return Refused
		}
		if c.Delta > 0 {
			g.begin()
		}
		g.count += c.Delta
		g.counted[c.Token]++
	case Go:
		g.begin()
		g.tasks[c.Token], g.fates[c.Token] = g.now().Add(c.TTL).UnixMilli(), "lives"
	case Join:
		if g.count == 0 {
			return Refused
		}
		g.count--
		g.tasks[c.Token], g.fates[c.Token] = g.now().Add(c.TTL).UnixMilli(), "lives"
	default:
		if _, lives := g.tasks[c.Token]; !lives {
			return Missed
		}
		delete(g.tasks, c.Token)
		if g.fates[c.Token] = "done"; c.What == Drop {
			g.fates[c.Token] = "abandoned"
			g.abandoned++
		}
	}
	return Counted
}

func (g *fakeGroup) undo(said fakeOp) bool {
	if said.round != g.round || g.left() == 0 {
		return false
	}
	_, lives := g.tasks[said.Token]
	switch {
	case said.What == Add && g.count >= said.Delta:
		g.count -= said.Delta
		g.counted[said.Token]--
		return true
	case said.What == Join && lives:
		g.count++
	case said.What != Go || !lives:
		return false
	}
	delete(g.tasks, said.Token)
	g.fates[said.Token] = "undone"
	return true
}

func (g *fakeGroup) look(from int64) (r Round, told []message) {
	g.mu.Lock()
	defer g.mu.Unlock()
	told = g.purge()
	r = Round{Number: g.round, Left: g.left(), Since: g.since, Lost: map[int64]int64{}}
	if from == 0 {
		from = g.round
	}
	for round, tasks := range g.lost {
		if round >= from {
			r.Lost[round] = tasks
		}
	}
	g.log("look from %d: %v", from, r)
	return r, told
}

func (g *fakeGroup) renewTask(r Renewal) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	ends, lives := g.tasks[r.Token]
	lives = lives && ends > g.now().UnixMilli()
	if g.log("renew %s: %v", short(r.Token), lives); lives {
		g.tasks[r.Token] = g.now().Add(r.TTL).UnixMilli()
	}
	return lives
}

// forget loses the group, as an eviction does.
func (g *fakeGroup) forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.log("the group is lost")
	for token := range g.tasks {
		g.fates[token] = "forgotten"
	}
	g.exists, g.round, g.count, g.abandoned, g.since = false, 0, 0, 0, 0
	clear(g.tasks)
	clear(g.lost)
	g.story = append(g.story, chapter{from: time.Now(), gone: true})
}

// roundStore is one process's connection to a fakeGroup.
type roundStore struct {
	*fakeStore
	group *fakeGroup
	name  string // of the process
	looks []fakeLook
}

// overTo begins the channel on which one process hears what is told to all.
const overTo = "over to "

// fakeLook is a look that was answered.
type fakeLook struct {
	from, until time.Time
	Round
}

func (s *roundStore) Change(_ context.Context, c Change) (Answer, error) {
	return call(s.fakeStore, "change", func() (Answer, []message) { return s.group.change(c) })
}

func (s *roundStore) Look(_ context.Context, _ string, from int64) (Round, error) {
	l := fakeLook{from: time.Now()}
	var err error
	if l.Round, err = call(s.fakeStore, "look", func() (Round, []message) { return s.group.look(from) }); err == nil {
		l.until = time.Now()
		s.looks = append(s.looks, l) // one watch looks, and then the checks do
	}
	return l.Round, err
}

func (s *roundStore) Topic(string) (string, error) { return overTo + s.name, nil }

func (s *roundStore) Renew(rs []Renewal, done func(int, Renewed)) {
	s.renewEach(rs, done, func(r Renewal) Renewed {
		if r.Kind != WaitGroup {
			return s.redis.renewAny(r)
		}
		return Renewed{Kept: s.group.renewTask(r)}
	})
}
