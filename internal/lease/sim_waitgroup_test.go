package lease

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/result"
	"github.com/seed-3d5fec5c/baton/internal/taskgroup"
)

// TestSimulationWaitGroup does what TestSimulation does with a wait group: several
// processes add, join and wait, one may die, the group may be lost and the server's
// clock set. In every schedule nobody is told before the round is over that he waits
// for, nobody is left waiting, all are told how many were abandoned, whatever was
// said to have been counted is counted once, and what was not is not; in the end nothing is left.
func TestSimulationWaitGroup(t *testing.T) {
	simulateAll(t, simulateGroups)
}

// groupSim is one schedule.
type groupSim struct {
	*schedule
	audit audit // of the tasks of one session of each process
	group *fakeGroup
	ttl   time.Duration
	// The first process dies, the server's clock is set, the group is lost on the way.
	crash, skewed, loss bool
	procs               []*groupProcess

	mu      sync.Mutex // guards what follows; not taken with that of the group
	names   int        // given to additions
	working int        // workers that have not ended
	busy    int        // of them: those that do not wait for others
	adds    map[string]outcome
	tasks   map[string]outcome // by token
	waits   []outcome
	seen    map[string]int
}

type groupProcess struct {
	*simProcess
	groups   *groupStore
	sessions [2]*taskgroup.Session
}

// outcome is what a process was told of an addition, a task or a wait.
type outcome struct {
	by          *groupProcess
	from, until time.Time // of a wait
	answer      taskgroup.Outcome
	what        taskgroup.Op // Done or Drop; "" for a task that its process has died with
	err         error
}

func simulateGroups(sch *schedule) string {
	rng := sch.rng
	s := &groupSim{schedule: sch, audit: audit{t: sch.t, tasks: true, aside: true}, group: newFakeGroup(sch.redis, "key"), seen: map[string]int{}, adds: map[string]outcome{}, tasks: map[string]outcome{}}
	s.bad = badness[rng.IntN(3)]
	s.ttl = simTTLs[rng.IntN(3)]
	for p := range 1 + rng.IntN(4) {
		s.procs = append(s.procs, s.process(p))
	}
	s.crash, s.skewed = rng.IntN(4) == 0, rng.IntN(5) == 0
	s.loss = !s.skewed && rng.IntN(5) == 0
	s.run()
	s.finish()
	s.check()
	s.audit.check()
	return fmt.Sprintf("%d processes, ttl %v, faults %v, crash %v, loss %v, skew %v, %v", len(s.procs), s.ttl, s.bad, s.crash, s.loss, s.group.skew, s.seen)
}

func (s *groupSim) process(p int) *groupProcess {
	store, mine := s.store(p)
	quick := store.latency
	store.latency = func() time.Duration { // some answers take longer than a task lives
		if s.bad > 0 && mine.Float64() < s.bad/10 {
			return time.Duration(mine.Float64() * float64(time.Second))
		}
		return quick()
	}
	alive, crash := context.WithCancel(context.Background())
	alive, _ = s.audit.begin(alive, "a process")
	rounds := &groupStore{fakeStore: store, group: s.group, name: fmt.Sprint(p)}
	m := NewManager(rounds)
	out := &groupProcess{simProcess: &simProcess{m, store, alive, crash}, groups: rounds}
	all := taskgroup.NewManager(m.Client, rounds)
	for i := range out.sessions {
		out.sessions[i] = all.NewSession(s.group.key)
	}
	out.sessions[0].Trace = s.audit.trace
	return out
}

// run lets all workers act, while somebody disturbs them.
func (s *groupSim) run() {
	rng := rand.New(rand.NewPCG(s.seed, 99))
	var all sync.WaitGroup
	for i, p := range s.procs {
		for w := range simWorkers {
			rng := rand.New(rand.NewPCG(s.seed, uint64(100*i+w)+50))
			s.working++
			all.Go(func() {
				s.works(+1)
				defer func() {
					s.works(-1)
					s.mu.Lock()
					s.working--
					s.mu.Unlock()
				}()
				for range 10 {
					if p.alive.Err() == nil {
						s.act(p, rng)
					}
				}
			})
		}
		if s.bad > 0 {
			all.Go(p.store.breakSometimes)
		}
	}
	after := func() time.Duration { return time.Duration(rng.ExpFloat64() * float64(2*time.Second)) }
	if s.crash {
		victim, after := s.procs[0], after()
		all.Go(func() {
			time.Sleep(after)
			victim.store.change(func() { victim.store.fault = func() fault { return lostRequest } })
			victim.crash()
		})
	}
	if s.skewed {
		after, by := after(), time.Duration(rng.Int64N(int64(40*time.Second)))-30*time.Second
		all.Go(func() {
			time.Sleep(after)
			s.group.mu.Lock()
			defer s.group.mu.Unlock()
			s.group.log("the clock is set by %v", by)
			s.group.skew = by
		})
	}
	if s.loss {
		after := after()
		all.Go(func() {
			time.Sleep(after)
			s.group.forget()
		})
	}
	all.Go(s.drain)
	all.Wait()
}

// works notes that a worker does something that ends by itself.
func (s *groupSim) works(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy += n
}

// drain takes from the count what nobody else is going to take: what could not be
// undone, or was added by one who has died. Else those who wait would wait for ever.
func (s *groupSim) drain() {
	good, g := newFakeStore(s.group.fakeRedis), s.group
	for op := int64(1); ; op++ {
		time.Sleep(time.Second)
		_, messages := g.status(0)
		good.publish(messages)
		s.mu.Lock()
		stuck, over := s.busy == 0, s.working == 0
		s.mu.Unlock()
		g.mu.Lock()
		count := g.count
		g.mu.Unlock()
		if stuck && count > 0 {
			_, messages := g.update(taskgroup.Operation{Session: "drain", Seq: op, Op: taskgroup.OpAdd, Delta: -count, Token: fmt.Sprint("drained ", op)})
			good.publish(messages)
		} else if over {
			return
		}
	}
}

// act does one thing of a random kind, from the request to its end.
func (s *groupSim) act(p *groupProcess, rng *rand.Rand) {
	ctx, cancel := context.WithCancel(p.alive)
	defer cancel()
	if rng.IntN(3) == 0 {
		defer time.AfterFunc(time.Duration(rng.Int64N(int64(300*time.Millisecond))), cancel).Stop()
	}
	session := p.sessions[rng.IntN(2)]
	ctx, _ = s.audit.begin(ctx, "an act")
	hold := time.Duration(rng.ExpFloat64() * []float64{0, 1e5, 1e7, float64(s.ttl)}[rng.IntN(4)])
	switch rng.IntN(8) {
	case 0, 1:
		n := 1 + rng.Int64N(3)
		if s.add(ctx, p, session, n) != nil {
			return
		}
		time.Sleep(hold)
		for ; n > 0 && p.alive.Err() == nil; n-- {
			_ = s.add(p.alive, p, session, -1)
		}
	case 2:
		s.task(ctx, p, session, taskgroup.OpStart, hold, rng.IntN(4) == 0)
	case 3, 4:
		s.task(ctx, p, session, taskgroup.OpClaim, hold, rng.IntN(4) == 0)
	default:
		s.wait(ctx, p, session, rng.IntN(2) == 0)
	}
}

func (s *groupSim) add(ctx context.Context, p *groupProcess, session *taskgroup.Session, n int64) error {
	s.mu.Lock()
	s.names++
	name := fmt.Sprint("addition ", s.names)
	s.mu.Unlock()
	got, err := session.Update(ctx, "add", taskgroup.Operation{Op: taskgroup.OpAdd, Delta: n, Token: name})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.adds[name] = outcome{by: p, answer: got, err: err}
	s.seen[fmt.Sprint("add ", got)]++
	if err != nil && (!errors.Is(err, context.Canceled) || ctx.Err() == nil) {
		s.t.Errorf("%s of %d: %v", name, n, err)
	}
	return err
}

func (s *groupSim) task(ctx context.Context, p *groupProcess, session *taskgroup.Session, what taskgroup.Op, hold time.Duration, drop bool) {
	var token atomic.Value
	t, err := session.Start(context.WithValue(ctx, tokenKey{}, &token), string(what), what, s.ttl, "")
	switch {
	case err == nil:
	case what == taskgroup.OpClaim && errors.Is(err, taskgroup.ErrNothingToClaim), errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return
	default:
		s.t.Errorf("%s: %v", what, err)
		return
	}
	name := token.Load().(string)
	s.lives(t, name, "has begun")
	end := outcome{by: p, what: taskgroup.OpDone}
	inner, stop := t.Context(p.alive)
	defer stop()
	timer := time.NewTimer(hold)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-inner.Done():
	}
	before := t.Err()
	if before == nil {
		s.lives(t, name, "goes on")
	}
	switch {
	case p.alive.Err() != nil:
		end.what = ""
	case drop:
		end.what, end.err = taskgroup.OpAbandon, t.Abandon()
	default:
		end.err = t.Done()
	}
	if errors.Is(before, taskgroup.ErrTaskLost) && end.what != "" && !errors.Is(end.err, taskgroup.ErrTaskLost) {
		s.t.Errorf("%s was lost, and then its end was told %v", name, end.err)
	}
	if p.alive.Err() != nil { // it may have died before it was told
		end.what = ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tasks[name] = end
	s.seen[fmt.Sprint(what, " ", end.what, " ", end.err)]++
}

// lives checks that a task in which its process believes is one that is counted.
func (s *groupSim) lives(t *taskgroup.Task, token, what string) {
	if err := t.Err(); err != nil {
		s.t.Errorf("%s %s: %v", token, what, err)
	}
	g := s.group
	g.mu.Lock()
	defer g.mu.Unlock()
	if fate := g.fates[token]; fate != "lives" && !s.loss && !s.skewed {
		g.log("%s %s, and is %s", short(token), what, fate)
		s.t.Errorf("%s %s, and is %s", token, what, fate)
	}
}

func (s *groupSim) wait(ctx context.Context, p *groupProcess, session *taskgroup.Session, inCall bool) {
	s.works(-1)
	defer s.works(+1)
	w := outcome{by: p, from: time.Now()}
	if inCall {
		w.err = session.Wait(ctx, "wait for")
	} else {
		box := result.NewChan(result.ErrorOnly{})
		session.WaitChan(ctx, "wait for", box)
		w.err = <-box.C()
	}
	w.until = time.Now()
	g := s.group
	g.mu.Lock()
	g.log("wait from %v ends: %v", w.from.Sub(g.story[0].from), w.err)
	g.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if errors.Is(w.err, context.Canceled) && ctx.Err() != nil {
		s.seen["wait given up"]++
		return
	}
	s.seen[fmt.Sprint("wait ", w.err)]++
	s.waits = append(s.waits, w)
}

// finish lets all be well again, and whatever is late arrive.
func (s *groupSim) finish() {
	for _, p := range s.procs {
		if p.alive.Err() == nil {
			p.store.mend()
		}
	}
	time.Sleep(time.Minute + 2*s.ttl + 40*time.Second) // the clock may have been set back
	s.drain()
	for _, p := range s.procs {
		if p.alive.Err() == nil {
			s.wait(p.alive, p, p.sessions[0], true)
			s.allOver(p)
		}
	}
	time.Sleep(5 * time.Second)
	synctest.Wait()
}

// allOver checks that all operations of a process are over when it makes one more, which is refused.
func (s *groupSim) allOver(p *groupProcess) {
	for _, session := range p.sessions {
		got, err := session.Update(p.alive, "add", taskgroup.Operation{Op: taskgroup.OpAdd, Delta: -1, Token: "refused"})
		p.groups.mu.Lock()
		last := p.groups.last
		p.groups.mu.Unlock()
		if err != nil || got != taskgroup.Rejected || last.AckedThrough != last.Seq-1 {
			s.t.Errorf("%v, %v: of %d operations those up to %d are over", got, err, last.Seq, last.AckedThrough)
		}
	}
}

func (s *groupSim) check() {
	s.checkAdds()
	s.checkTasks()
	for _, w := range s.waits {
		s.checkWait(w)
	}
	for _, p := range s.procs {
		if m := p.Manager; len(m.claimsByToken.Entries) > 0 || !m.AtRest() {
			s.t.Errorf("manager not at rest: %d expected, %d to renew", len(m.claimsByToken.Entries), m.Renewing())
		}
	}
	if g := s.group; g.remaining() > 0 || len(g.channels()) > 0 {
		s.t.Errorf("left in Redis: %d, %v, heard on %v", g.count, g.tasks, g.channels())
	}
}

// checkAdds: what was said to be counted is counted once, and all else is not, but
// for what could not be taken back, or was not as its process has died.
func (s *groupSim) checkAdds() {
	for name, n := range s.group.counted {
		if n < 0 || n > 1 {
			s.t.Errorf("%s has counted %d times", name, n)
		}
	}
	for name, o := range s.adds {
		n := s.group.counted[name]
		switch {
		case o.err == nil && o.answer == taskgroup.Applied && n == 1, o.err == nil && o.answer == taskgroup.Rejected && n == 0:
		case o.err != nil && (n == 0 || s.group.kept[name] || o.by.alive.Err() != nil):
		default:
			s.t.Errorf("%s: its process was told %v, %v, and it counts %d times", name, o.answer, o.err, n)
		}
	}
}

// checkTasks: each has ended as its process was told, and those that were abandoned
// are those that were told of.
func (s *groupSim) checkTasks() {
	abandoned := int64(0)
	calm := s.bad == 0 && !s.crash && !s.skewed && !s.loss
	for token, fate := range s.group.fates {
		if fate == "abandoned" {
			abandoned++
		}
		o, known := s.tasks[token]
		var ok bool
		switch {
		case !known: // nobody has got it
			ok = fate == "undone" || !calm && fate != "lives" && fate != "done"
		case o.what == "", o.err != nil && !errors.Is(o.err, taskgroup.ErrTaskLost):
			ok = fate != "lives" && fate != "undone" && !calm
		case errors.Is(o.err, taskgroup.ErrTaskLost):
			ok = (fate == "abandoned" || fate == "forgotten") && !calm
		default:
			ok = fate == map[taskgroup.Op]string{taskgroup.OpDone: "done", taskgroup.OpAbandon: "abandoned"}[o.what]
		}
		if !ok {
			s.t.Errorf("%s: its process was told %v of %q, and it is %s", token, o.err, o.what, fate)
		}
	}
	told := int64(0)
	for _, c := range s.group.story {
		told += c.abandoned
	}
	if told > abandoned || told < abandoned && !s.loss {
		s.t.Errorf("%d tasks were abandoned, those who wait were told of %d", abandoned, told)
	}
}

// checkWait: a wait is for the round that the first look shows which begins after it, or
// that a change of its process finds before, or for the last one if none goes on. It ends when that is over, soon, and is told how
// many were abandoned.
func (s *groupSim) checkWait(w outcome) {
	story := s.group.story
	var could []string
	for _, l := range w.by.groups.polls {
		if l.from.Before(w.from) {
			continue
		}
		could = append(could, s.could(l, w.until))
		if l.from.After(w.from) { // else it may have begun before
			break
		}
	}
	for _, l := range w.by.groups.changes { // or for the one that a change of its process finds
		if l.from.Before(w.from) || l.until.After(w.until) {
			continue
		}
		if l.Remaining = 1; l.Number == 0 {
			l.Remaining = 0
		}
		could = append(could, s.could(l, w.until))
	}
	if s.lost(w.from, w.until) { // also after the end of its round, if the process has not learnt of that end
		could = append(could, outcomeText(taskgroup.ErrTaskLost))
	}
	if !slices.Contains(could, outcomeText(w.err)) {
		s.t.Errorf("a wait from %v to %v: %s; it could %q", w.from.Sub(story[0].from), w.until.Sub(story[0].from), outcomeText(w.err), could)
	}
	bound, looks := MaxPollInterval+50*time.Millisecond, 25*time.Millisecond
	if s.bad > 0 {
		bound, looks = 30*time.Second, 30*time.Second
	}
	// What it waits for is known by then, and is over at the latest:
	over := w.from.Add(looks)
	for i, c := range story {
		if c.goesOn && !c.from.After(over) && i+1 < len(story) && story[i+1].from.After(over) {
			over = story[i+1].from
			break
		}
	}
	if w.until.Sub(over) > bound {
		s.t.Errorf("a wait from %v for what was over at %v ended at %v", w.from.Sub(story[0].from), over.Sub(story[0].from), w.until.Sub(story[0].from))
	}
}

// lost reports whether the group was lost in between.
func (s *groupSim) lost(from, until time.Time) bool {
	return slices.ContainsFunc(s.group.story, func(c chapter) bool { return c.gone && !c.from.Before(from) && !c.from.After(until) })
}

// could says what a wait can be told, until then, of the round that a look shows.
func (s *groupSim) could(l fakePoll, until time.Time) string {
	if l.Remaining == 0 {
		return abandonedText(l.Abandoned[l.Number])
	}
	story := s.group.story
	for i, c := range story {
		if !c.goesOn || c.generation != l.Number {
			continue
		}
		if i+1 == len(story) || story[i+1].from.After(until) || l.until.After(until) {
			break
		}
		if end := story[i+1]; !end.gone {
			return abandonedText(end.abandoned)
		}
		return outcomeText(taskgroup.ErrTaskLost)
	}
	return "not be over"
}

// outcomeText is what a wait says of its round.
func outcomeText(err error) string {
	var a *taskgroup.AbandonedError
	switch {
	case err == nil:
		return abandonedText(0)
	case errors.As(err, &a):
		return abandonedText(int64(a.Tasks))
	case errors.Is(err, taskgroup.ErrTaskLost):
		return "lost"
	}
	return err.Error()
}

// abandonedText is that of a round that has lost so many tasks.
func abandonedText(tasks int64) string {
	if tasks == 0 {
		return "all done"
	}
	return fmt.Sprint("abandoned: ", tasks)
}
