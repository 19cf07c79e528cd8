package lease

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Counter is the authority on what wait groups count. A round of a group begins
// when something is added to nothing, and is over when nothing is left. What is
// counted is a number, and tasks, each of which lives for as long as it is renewed.
type Counter interface {
	// Change counts c, once however often it is sent.
	Change(ctx context.Context, c Change) (Answer, error)
	// Look says how far the group is, and which rounds have lost tasks, from the
	// given one on, or that the last one has if that is 0.
	Look(ctx context.Context, key string, from int64) (Round, error)
	// Topic is the channel on which the end of a round is told, by a Handover.
	Topic(key string) (string, error)
}

// What a Change does.
type What string

const (
	Add  What = "add"  // Delta to the count
	Go   What = "go"   // a task more, Token
	Join What = "join" // the task takes the place of one of the count
	Done What = "done" // the task has ended
	Drop What = "drop" // the task is abandoned
	Undo What = "undo" // the change of the same number: it has not been, or will not be
)

// Change is one operation on a wait group.
type Change struct {
	Key     string
	Session string // who numbers
	Op      int64  // the number
	Low     int64  // all up to this one are over: a copy of them that comes late counts nothing
	What    What
	Delta   int64
	Token   string
	TTL     time.Duration
}

// Answer is what Redis says to a Change.
type Answer int64

const (
	Refused Answer = 0 // negative count, or none that could be joined
	Counted Answer = 1
	Missed  Answer = 2 // the task has been abandoned
	Voided  Answer = -1
)

// Round is how far a group is. The zero Round is that of a group without any.
type Round struct {
	Number int64 // grows
	Left   int64 // of it
	Since  int64 // what became of rounds before this one is not known
	Lost   map[int64]int64
}

var (
	// ErrNegative says that more was done than had been added.
	ErrNegative = errors.New("baton: negative WaitGroup counter")
	// ErrNoTask says that nothing is left to join.
	ErrNoTask = errors.New("baton: no task to join")
	// ErrAbandoned says that tasks have ended with their process.
	ErrAbandoned = errors.New("baton: tasks abandoned")
	// ErrForgotten says that it cannot be known any more what became of an operation.
	ErrForgotten = errors.New("it may or may not have counted: Redis was away for so long that it may have forgotten this operation")
)

// AbandonedError is the ErrAbandoned of so many tasks.
type AbandonedError struct{ Tasks int }

func (e *AbandonedError) Error() string {
	return fmt.Sprintf("%v: %d", ErrAbandoned, e.Tasks)
}

// Is reports whether target is ErrAbandoned.
func (e *AbandonedError) Is(target error) bool { return target == ErrAbandoned }
