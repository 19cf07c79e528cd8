package main

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// An interval is a request for a hold, the hold, and its end. A task of a wait group is a hold. Waits for a
// group and events of a limiter are requests without a hold. Times of events that did not happen are 0.
type interval struct {
	ID          int64
	Worker, Key uint8 // Key is an index of keys
	Result, End result
	Marked      bool  // of a Once: the run succeeded
	Weight      int32 // or wait
	Abandoned   int32 // number of abandoned tasks that a wait reported
	Fence       int64

	Requested, Replied int64
	First, Last        int64 // first and last time at which Err returned nil
	LossReported       int64 // when Err returned an error
	Release, Released  int64 // when Unlock was called, and when it returned
	HeldAfterEnd       int64 // when Err returned nil after the end, a violation
}

type result uint8

const (
	ok        result = 1 + iota
	locked           // a failed try
	lost             // ErrLost, or a peer's error for a lock that is not held
	ctxDone          // ctx was done
	unknown          // Redis was unreachable, so the outcome is unknown
	abandoned        // of a wait: the generation ended with abandoned tasks
)

// wait is the weight of a request to wait for a group.
const wait = -1

func (h *interval) key() string { return keys[h.Key] }

// granted reports whether the request was granted.
func (h *interval) granted() bool { return h.Replied != 0 && h.Result == ok }

// knownEnd returns when the holder learned the end of its hold, or 0.
func (h *interval) knownEnd() int64 { return cmp.Or(h.LossReported, h.Released) }

// observed records the result of Err, which was called at a time.
func (h *interval) observed(called int64, err error) {
	switch {
	case err == nil && h.knownEnd() != 0:
		h.HeldAfterEnd = called
	case err == nil:
		h.First, h.Last = cmp.Or(h.First, called), called
	case h.Released == 0:
		h.LossReported, h.End = now(), outcome(err)
	}
}

func (h *interval) String() string {
	return fmt.Sprintf("%s #%x of worker %d, weight %d: requested %s, reply %s (%d), fence %d, valid %s to %s, loss reported %s, release %s to %s (%d) ms",
		h.key(), h.ID, h.Worker, h.Weight, millis(h.Requested), millis(h.Replied), h.Result, h.Fence,
		millis(h.First), millis(h.Last), millis(h.LossReported), millis(h.Release), millis(h.Released), h.End)
}

// millis formats a time or a duration in ms.
func millis(t int64) string {
	if t == 0 {
		return "–"
	}
	return fmt.Sprintf("%.3f", float64(t)/1e6)
}

// now returns the time in ns of the monotonic clock, which all processes of the machine share.
func now() int64 {
	var ts unix.Timespec
	check(unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts))
	return ts.Nano()
}

var intervalSize = binary.Size(interval{})

// write appends the interval to a journal, at each change. One write per change survives a crash of the process.
func (h *interval) write(journal io.Writer) {
	must(journal.Write(must(binary.Append(make([]byte, 0, intervalSize), binary.LittleEndian, h))))
}

// A journal reads what a worker has written so far.
type journal struct {
	file *os.File
	rest []byte // an incomplete interval
}

func (j *journal) read(s *timeline) {
	for j.rest = append(j.rest, must(io.ReadAll(j.file))...); len(j.rest) >= intervalSize; j.rest = j.rest[intervalSize:] {
		var h interval
		must(binary.Decode(j.rest, binary.LittleEndian, &h))
		s.add(h)
	}
}

// A timeline has the intervals and crashes of all workers of a test run.
type timeline struct {
	byID    map[int64]*interval
	list    []*interval // in the order in which their requests were read
	crashes []crash
	excused []excusedLoss
}

// A crash is the end of a worker by SIGKILL.
type crash struct {
	worker uint8
	t      int64
}

// An excusedLoss is a period in which Redis may have lost a hold, so that another may be granted too. It ends
// when all old holds have ended.
type excusedLoss struct {
	key      string // "" means all keys
	from, to int64
}

func (s *timeline) add(h interval) {
	if s.byID[h.ID] == nil {
		s.byID[h.ID] = new(interval)
		s.list = append(s.list, s.byID[h.ID])
	}
	*s.byID[h.ID] = h
}

// intervals returns the intervals of a key, in the order of their requests.
func (s *timeline) intervals(key string) []*interval {
	return s.sorted(key, func(h *interval) int64 { return h.Requested }, func(*interval) bool { return true })
}

// sorted returns the intervals of a key that are wanted, in the order of a time.
func (s *timeline) sorted(key string, by func(*interval) int64, wanted func(*interval) bool) (list []*interval) {
	for _, h := range s.list {
		if h.key() == key && wanted(h) {
			list = append(list, h)
		}
	}
	slices.SortFunc(list, func(a, b *interval) int { return cmp.Compare(by(a), by(b)) })
	return list
}

func replied(h *interval) int64 { return h.Replied }

// died returns when the worker was killed after the request, or 0.
func (s *timeline) died(h *interval) int64 {
	for _, d := range s.crashes {
		if d.worker == h.Worker && d.t >= h.Requested {
			return d.t
		}
	}
	return 0
}

// grants returns the number of grants in a period, by key, without waits.
func (s *timeline) grants(from, to int64) map[string]int {
	count := map[string]int{}
	for _, h := range s.list {
		if h.granted() && h.Weight != wait && h.Replied >= from && h.Replied < to {
			count[h.key()]++
		}
	}
	return count
}

// excuses returns the excused losses of a key that overlap a period, sorted by start.
func (s *timeline) excuses(key string, from, to int64) (list []excusedLoss) {
	for _, v := range s.excused {
		if (v.key == "" || v.key == key) && v.from < to && from < v.to {
			list = append(list, v)
		}
	}
	slices.SortFunc(list, func(a, b excusedLoss) int { return cmp.Compare(a.from, b.from) })
	return list
}

func (s *timeline) isExcused(key string, from, to int64) bool {
	return len(s.excuses(key, from, to)) > 0
}

// open returns the holds and requests of a worker that are open when it is killed or stopped at a time, without
// those of earlier worker processes.
func (s *timeline) open(worker uint8, at int64) (held, queued []*interval) {
	for _, h := range s.list {
		died := s.died(h)
		switch {
		case h.Worker != worker || h.Released != 0 || h.Weight == wait || h.Requested > at || died != 0 && died != at:
		case h.Replied == 0:
			queued = append(queued, h)
		case h.granted() && h.key()[0] != 'l':
			held = append(held, h)
		}
	}
	return held, queued
}
