package lease

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Together is a [Store] that can serve several keys in one step. What a caller
// cannot tell from it: each key keeps its own claim, token and fences.
type Together interface {
	Store
	// Joins reports whether one step can name both keys.
	Joins(a, b string) bool
	// AskAll asks for one claim after the other, each as by Ask and without From,
	// up to the first that cannot be had, and replies to those requests. An error
	// is about the request after the last that has a reply, and the later ones were
	// not made; without any reply, all may have been made. With all it gives
	// all claims or none, and queues for none: if one cannot be had, the last reply
	// is about that one, and none before it is granted.
	AskAll(ctx context.Context, all bool, rs []Request) ([]Reply, error)
	// ReleaseAll does what Release does, for each place by itself.
	ReleaseAll(ctx context.Context, places []Place) ([]Released, error)
}

// Place is what a token has on a key: the claim, or a place in its queue.
type Place struct{ Key, Token string }

// Released is what became of a place.
type Released struct {
	Owned bool // the token held the claim
	Err   error
}

// errApart says that leases which were asked for in one step could not be had so.
var errApart = errors.New("each has to be asked for by itself")

// joint is the claim that one lease of a group asks for together with others.
type joint struct {
	line  *line
	lease *Lease
	claim *claim
	ask   Request
}

// takeTogether asks for all leases in one step, if nobody here is in line for any of
// them, and reports whether it does. If somebody elsewhere is, all fail with errApart:
// then they are to be had in order only.
func (k *Keeper) takeTogether(store Together, leases []Lease, keys []string) bool {
	joints := make([]joint, 0, len(leases))
	for i := range leases {
		j, ok := k.begin(Name{Mutex, keys[i]}, &leases[i])
		if !ok {
			for _, j := range joints {
				j.part(errApart, nil)
			}
			return false
		}
		joints = append(joints, j)
	}
	go askTogether(store, joints) // its own goroutine: when ctx ends, the leases do not wait for it
	return true
}

// begin puts a lease into the line of its key, if nobody is there, with a claim
// that is about to ask.
func (k *Keeper) begin(name Name, lease *Lease) (j joint, ok bool) {
	for {
		l := k.line(name)
		l.mu.Lock()
		if l.gone {
			l.mu.Unlock()
			continue
		}
		defer l.mu.Unlock()
		if l.claim != nil || l.waiters.head != nil {
			return joint{}, false
		}
		lease.line = l
		l.waiters.push(lease)
		c := newClaim(l, lease)
		c.asker, c.asking, c.try = true, true, true
		l.claim = c
		j = joint{l, lease, c, l.request(c, time.Now())}
		return j, true
	}
}

func askTogether(store Together, joints []joint) {
	requests := make([]Request, len(joints))
	for i, j := range joints {
		requests[i] = j.ask
	}
	sent := time.Now()
	replies, err := store.AskAll(context.Background(), true, requests)
	granted := err == nil && len(replies) == len(joints) && replies[len(replies)-1].Granted
	for i, j := range joints {
		switch {
		case granted:
			if j.line.conclude(j.claim, j.ask, replies[i], nil, sent) {
				go j.line.ask(j.claim)
			}
		case err == nil || IsPermanent(err): // which it is of, they find out one by one
			j.part(errApart, nil)
		default:
			j.part(errApart, err)
		}
	}
}

// part ends the try of a lease that cannot be had together with the others. If
// others have come, the claim asks on for them. Not if it is not known what Redis
// has done, because of the error unsure: that is undone, and nobody may hold by
// this token. For should the request be executed yet, when another claim cannot be
// had, it gives back what this token has.
func (j joint) part(why, unsure error) {
	l, c := j.line, j.claim
	l.mu.Lock()
	var todo errand
	l.returned(c)
	c.asking = false
	c.redisError("ask", unsure)
	if c.state != live {
		l.late(c, j.ask, Reply{}, unsure)
	}
	if j.lease.state == waiting {
		j.lease.refuse(why)
	}
	if c.state == live {
		switch l.redis = unsure; { // which keeps those who come waiting until it is undone
		case unsure != nil:
			c.asker, c.entered = false, true
			todo = errand{claim: l.leave()}
		case l.waiters.head != nil:
			c.try = l.waiters.head.try
			go l.ask(c)
		default:
			l.end(c)
			c.asker = false
			todo = l.advance()
		}
	}
	l.mu.Unlock()
	l.later(todo)
}

// release releases leases, all at the same time, and those that the store can
// serve together in one step. A loss is worse news than that Redis did not
// confirm.
func release(leases []Lease) error {
	return endAll(leases, func(l *Lease) (errand, error) {
		todo, _, err := l.let(0)
		return todo, err
	})
}

// endAll is release for leases that end ends here.
func endAll(leases []Lease, end func(*Lease) (errand, error)) error {
	errs := make([]error, len(leases))
	todos := make([]errand, len(leases))
	var wg sync.WaitGroup
	for from, to := 0, 0; from < len(leases); from = to {
		for to = from; to < len(leases) && (to == from || leases[to].joins(&leases[to-1])); to++ {
			todos[to], errs[to] = end(&leases[to])
		}
		run := todos[from:to]
		first := from
		wg.Go(func() {
			giveBackTogether(run)
			var each sync.WaitGroup
			for i, todo := range run {
				each.Go(func() {
					l := &leases[first+i]
					if err := l.line.do(todo); errs[first+i] == nil {
						errs[first+i] = l.told(true, err)
					}
				})
			}
			each.Wait()
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); !errors.Is(err, ErrLost) {
		return err
	}
	return ErrLost
}

// joins reports whether the store can serve both leases in one step.
func (l *Lease) joins(other *Lease) bool {
	store, ok := l.line.keeper.store.(Together)
	return ok && store.Joins(l.line.name.Key, other.line.name.Key)
}

// giveBackTogether releases in one step the claims that are to be given back. It
// tries once, and not for long: what it has not confirmed is still to be done.
func giveBackTogether(todos []errand) {
	var claims []*claim
	var places []Place
	bound := PollBound
	for _, todo := range todos {
		if c := todo.claim; c != nil && !todo.lower && c.from == "" && c.wait == nil {
			claims = append(claims, c)
			places = append(places, Place{c.line.name.Key, c.token})
			bound = min(bound, time.Until(c.until)/3)
		}
	}
	if len(claims) < 2 {
		return
	}
	store := claims[0].line.keeper.store.(Together)
	ctx, cancel := context.WithTimeout(context.Background(), max(bound, MinTTL))
	defer cancel()
	done := make(chan []Released, 1)
	go func() {
		released, err := store.ReleaseAll(ctx, places)
		for i, c := range claims {
			if i < len(released) {
				c.last.redisError("release", released[i].Err)
			} else {
				c.last.redisError("release", err)
			}
		}
		done <- released
	}()
	var released []Released
	select {
	case released = <-done:
	case <-ctx.Done():
	}
	for i, c := range claims {
		c.unsure = true // whether this was executed
		if i < len(released) && released[i].Err == nil {
			c.confirmed = true
			if !released[i].Owned {
				c.err = ErrLost
			}
		}
	}
}
