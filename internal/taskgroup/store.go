package taskgroup

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/client"
)

// Kind is the kind of the renewals and messages of wait groups.
const Kind client.Kind = 'w'

// Store is the authority on what wait groups count. A generation of a group begins
// when something is added to nothing, and is over when nothing is left. What is
// counted is a number, and tasks, each of which lives for as long as it is renewed.
type Store interface {
	// UpdateGroup counts c, once however often it is sent.
	UpdateGroup(ctx context.Context, c Operation) (UpdateReply, error)
	// GroupStatus says how far the group is, and which generations have lost tasks, from the
	// given one on, or that the last one has if that is 0.
	GroupStatus(ctx context.Context, key string, from int64) (Generation, error)
	// DoneChannel is the channel of the message that generation Seq is over, and that Weight
	// of its tasks were abandoned.
	DoneChannel(key string) (string, error)
	// InspectGroup asks what Redis knows of a group, once, and changes nothing.
	InspectGroup(ctx context.Context, key string) (Status, error)
}

// Status is what Redis knows of a group, at one moment.
type Status struct {
	Generation int64 // its number
	Count      int64 // besides the tasks
	Abandoned  int64 // tasks of this generation that were abandoned
	Tasks      []TaskStatus
	MoreTasks  int64 // tasks beyond those in Tasks, which has about 1,000 at most
}

// TaskStatus is one task.
type TaskStatus struct {
	client.Owner
	Remaining time.Duration
}

// Op is what an Operation does.
type Op string

const (
	OpAdd     Op = "add"     // Delta to the count
	OpStart   Op = "start"   // a task more, Token
	OpClaim   Op = "claim"   // the task takes the place of one of the count
	OpDone    Op = "done"    // the task has ended
	OpAbandon Op = "abandon" // the task is abandoned
	OpUndo    Op = "undo"    // the change of the same number: it has not been, or will not be
)

// Operation is one operation on a wait group.
type Operation struct {
	Key          string
	Session      string // who numbers
	Seq          int64  // the number
	AckedThrough int64  // all up to this one are over: a copy of them that comes late counts nothing
	Op           Op
	Delta        int64
	Token        string
	TTL          time.Duration
}

// Outcome is what Redis says to an Operation.
type Outcome int64

const (
	Rejected      Outcome = 0 // negative count, or none that could be joined
	Applied       Outcome = 1
	TaskAbandoned Outcome = 2  // the task has been abandoned
	Superseded    Outcome = -1 // the operation is over, or has been undone
)

// UpdateReply is what Redis replies to an Operation.
type UpdateReply struct {
	Outcome
	Found int64 // the generation before the operation, which may be over; 0 if there was none
}

// Generation is how far a group is. The zero Generation is that of a group without any.
type Generation struct {
	Number      int64 // grows
	Remaining   int64 // of it
	OldestKnown int64 // what became of generations before this one is not known
	Abandoned   map[int64]int64
}

var (
	// ErrNegativeCounter says that more was done than had been added.
	ErrNegativeCounter = errors.New("baton: negative WaitGroup counter")
	// ErrNothingToClaim says that nothing is left to join.
	ErrNothingToClaim = errors.New("baton: nothing to claim")
	// ErrAbandoned says that tasks have ended with their process.
	ErrAbandoned = errors.New("baton: tasks abandoned")
	// ErrDone says that a task was ended by its process.
	ErrDone = errors.New("baton: task done")
	// ErrTaskLost says that a task ended before its process ended it.
	ErrTaskLost = errors.New("baton: task lost")
	// ErrOutcomeUnknown says that it cannot be known any more what became of an operation.
	ErrOutcomeUnknown = errors.New("it may or may not have counted: Redis was away for so long that it may have forgotten this operation")
)

// errSuperseded says the same of an operation that Redis takes for over, or undone.
var errSuperseded = errors.New("it may or may not have counted: Redis has another record of this operation")

// errGroupLost is the ErrTaskLost of a wait whose group Redis has lost, with its tasks.
var errGroupLost error = groupLostError{}

type groupLostError struct{}

func (groupLostError) Error() string        { return "group lost" }
func (groupLostError) Is(target error) bool { return target == ErrTaskLost }

// AbandonedError is the ErrAbandoned of so many tasks.
type AbandonedError struct{ Tasks int }

func (e *AbandonedError) Error() string {
	return fmt.Sprintf("%v: %d", ErrAbandoned, e.Tasks)
}

// Is reports whether target is ErrAbandoned.
func (e *AbandonedError) Is(target error) bool { return target == ErrAbandoned }
