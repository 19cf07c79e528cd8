package main

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/mutex"
	"github.com/seed-3d5fec5c/baton/semaphore"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

// A status is the result of Inspect for a NAME, whatever its kind.
type status struct {
	Kind    string
	Detail  string // specific to the kind
	Holders []holder
	More    int // holders that are not listed
	Waiters int
	Next    mutex.Owner
	Queue   []waiter // the first waiters, in order
	Limiter *semaphore.LimiterStatus
	Count   int64 // of a wait group: the counter without the tasks
}

type waiter struct {
	mutex.Owner
	As string // "to read", "2 permits"; "" for a Mutex
}

type holder struct {
	mutex.Owner
	As        string // "for reading", "2 permits"; "" for a Mutex
	Fence     int64  // 0 means none
	Remaining time.Duration
}

// key kinds
const (
	isMutex     = "mutex"
	isElection  = "election" // a mutex and the value of its leader
	isRWMutex   = "rwmutex"
	isSemaphore = "semaphore"
	isWaitGroup = "waitgroup"
	isLimiter   = "limiter"
	isOnce      = "once"   // a mutex and the record of the last run
	isFlight    = "flight" // a mutex and a value
	isFree      = "free"   // free, or of unknown kind
)

// exclusive reports whether keys of the kind have one holder at a time.
func exclusive(kind string) bool {
	return kind == isMutex || kind == isElection || kind == isOnce || kind == isFlight
}

// inspectKey returns the status of NAME, whose kind is unknown.
func inspectKey(ctx context.Context, rdb *redis.Client, name string) (status, error) {
	t, err := rdb.Type(ctx, name).Result()
	if err != nil {
		return status{}, fail(exitUnavailable, "%w", err)
	}
	switch t {
	case "none":
		s, err := inspectAs(ctx, rdb, name, isMutex)
		if err == nil && s.Waiters == 0 && s.Kind == isMutex {
			s.Kind = isFree
		}
		return s, err
	case "string": // a limiter or a mutex: the prefix differs
		if start, err := rdb.GetRange(ctx, name, 0, 5).Result(); err == nil && start == "limit " {
			return inspectAs(ctx, rdb, name, isLimiter)
		}
		return inspectAs(ctx, rdb, name, isMutex)
	case "hash": // an RWMutex or a semaphore: Inspect fails for the wrong one
		s, err := inspectAs(ctx, rdb, name, isRWMutex)
		if err == nil || !strings.Contains(err.Error(), "WRONGTYPE") {
			return s, err
		}
		return inspectAs(ctx, rdb, name, isSemaphore)
	case "zset":
		return inspectAs(ctx, rdb, name, isWaitGroup)
	}
	return status{}, fail(exitUsage, "%q is a %s, not a lock", name, t)
}

// inspectAs returns the status of NAME, whose kind is known. It makes one request, and a few more
// for the value stored with a mutex.
func inspectAs(ctx context.Context, rdb *redis.Client, name, kind string) (s status, err error) {
	switch kind {
	case isRWMutex:
		s, err = lockStatus(mutex.NewRW(rdb, name).Inspect(ctx))
	case isSemaphore:
		s, err = permitStatus(semaphore.NewWeighted(rdb, name, 1).Inspect(ctx))
	case isWaitGroup:
		s, err = groupStatus(waitgroup.New(rdb, name).Inspect(ctx))
	case isLimiter:
		s, err = limiterStatus(semaphore.NewLimiter(rdb, name, semaphore.Inf, 0).Inspect(ctx))
	default:
		e := mutex.NewElection(rdb, name)
		s, err = lockStatus(e.Inspect(ctx))
		if of, detail := onceStatus(ctx, rdb, name); of != "" {
			kind, s.Detail = of, detail
		} else if l, noLeader := e.Leader(ctx); noLeader == nil && len(s.Holders) == 1 && s.Holders[0].Token == l.Owner.Token {
			kind, s.Detail, s.Holders[0].Fence = isElection, "value "+plain(l.Value), l.Number
		}
	}
	s.Kind = kind
	return s, err
}

func lockStatus(m mutex.Status, err error) (status, error) {
	s := status{More: m.MoreHolders, Waiters: m.Waiters, Next: m.Next}
	for _, h := range m.Holders {
		as := ""
		if h.Read {
			as = "for reading"
		}
		s.Holders = append(s.Holders, holder{h.Owner, lingers(as, h.MayLinger), h.Fence, h.Remaining})
	}
	for _, w := range m.Queue {
		as := ""
		if w.Read {
			as = "to read"
		}
		s.Queue = append(s.Queue, waiter{w.Owner, as})
	}
	return s, withStatus(err)
}

func limiterStatus(l semaphore.LimiterStatus, err error) (status, error) {
	s := status{Limiter: &l}
	switch {
	case err != nil:
	case l.Limit == semaphore.Inf: // the bucket is full, so Redis has no key
		s.Detail = "all tokens"
	default:
		s.Detail = fmt.Sprintf("%.1f of %d tokens, %.6g/s", l.Tokens, l.Burst, float64(l.Limit))
		if l.Reserved > 0 {
			s.Detail += fmt.Sprintf(", %.1f reserved", l.Reserved)
		}
		if l.Next > 0 {
			s.Detail += fmt.Sprintf(", the next token in %v", l.Next.Round(time.Millisecond))
		}
	}
	return s, withStatus(err)
}

func permitStatus(p semaphore.Status, err error) (status, error) {
	s := status{Detail: fmt.Sprintf("%d of %d permits", p.Used, p.Size), More: p.MoreHolders, Waiters: p.Waiters, Next: mutex.Owner(p.Next)}
	for _, h := range p.Holders {
		s.Holders = append(s.Holders, holder{mutex.Owner(h.Owner), lingers(permits(h.Permits), h.MayLinger), h.Fence, h.Remaining})
	}
	for _, w := range p.Queue {
		s.Queue = append(s.Queue, waiter{mutex.Owner(w.Owner), permits(w.Permits)})
	}
	return s, withStatus(err)
}

func permits(n int64) string {
	if n == 1 {
		return "1 permit"
	}
	return fmt.Sprintf("%d permits", n)
}

func groupStatus(g waitgroup.Status, err error) (status, error) {
	s := status{Detail: fmt.Sprintf("generation %d, %d outstanding, %d abandoned", g.Generation, g.Outstanding(), g.Abandoned), More: g.MoreTasks}
	s.Count = g.Count
	for _, t := range g.Tasks {
		s.Holders = append(s.Holders, holder{mutex.Owner(t.Owner), "a task", 0, t.Remaining})
	}
	return s, withStatus(err)
}

// lingers adds a note if the holder may keep the lock without using it.
func lingers(as string, may bool) string {
	switch {
	case !may:
		return as
	case as == "":
		return "may be idle"
	}
	return as + ", may be idle"
}

// withStatus adds the exit status to an error of Inspect.
func withStatus(err error) error {
	switch {
	case err == nil:
		return nil
	case strings.Contains(err.Error(), "WRONGTYPE"), strings.Contains(err.Error(), "library's own"), strings.Contains(err.Error(), "empty"):
		return fail(exitUsage, "%w", err)
	}
	return fail(exitUnavailable, "%w", err)
}

// summary returns one line with the holders and the waiters.
func (s status) summary() string {
	var names []string
	for _, h := range s.Holders {
		names = append(names, plain(h.Owner.String()))
	}
	if names != nil {
		names[0] = "held by " + names[0]
	}
	return s.line(names)
}

// line returns one line with the given holders, and the rest of the status.
func (s status) line(holders []string) string {
	if s.Limiter != nil {
		return s.Detail
	}
	if s.More > 0 {
		holders = append(holders, fmt.Sprintf("%d more", s.More))
	}
	text := cmp.Or(strings.Join(holders, ", "), "free")
	if s.Detail != "" {
		text += "; " + s.Detail
	}
	if s.Waiters > 0 {
		text += fmt.Sprintf("; %d waiting, next %s", s.Waiters, plain(s.Next.String()))
	}
	return text
}

// plain escapes a name for a terminal, so that it cannot move the cursor or start a line.
func plain(s string) string {
	if utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return s
	}
	q := strconv.Quote(s)
	return q[1 : len(q)-1]
}

// String returns "label (host, pid 7), for reading, fence 9, 5s left", without unknown parts.
func (h holder) String() string {
	text := plain(h.Owner.String())
	if h.As != "" {
		text += ", " + h.As
	}
	if h.Fence != 0 {
		text += fmt.Sprintf(", fence %d", h.Fence)
	}
	if h.Remaining < 0 {
		return text + ", does not expire"
	}
	return text + fmt.Sprintf(", %v left", h.Remaining.Round(time.Millisecond))
}
