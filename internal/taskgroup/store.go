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

// Store is the authority on what wait groups count. A generation of a group begins when something is
// added to an empty group, and is finished when nothing is left. A group counts a number and tasks. A
// task counts as long as it is renewed.
type Store interface {
	// UpdateGroup executes c, once however often it is sent.
	UpdateGroup(ctx context.Context, c Operation) (UpdateReply, error)
	// GroupStatus returns the generation of the group, and which generations have lost tasks: from
	// the given one on, or the last one if that is 0.
	GroupStatus(ctx context.Context, key string, from int64) (Generation, error)
	// DoneChannel returns the channel of the message that generation Seq is finished, and that
	// Weight of its tasks were abandoned.
	DoneChannel(key string) (string, error)
	// InspectGroup asks what Redis knows of a group, once, and changes nothing.
	InspectGroup(ctx context.Context, key string) (Status, error)
}

// Status is what Redis knows of a group, at one moment.
type Status struct {
	Generation int64 // its number
	Count      int64 // without the tasks
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
	OpStart   Op = "start"   // one more task, Token
	OpClaim   Op = "claim"   // the task takes the place of one of the count
	OpDone    Op = "done"    // the task has ended
	OpAbandon Op = "abandon" // the task is abandoned
	OpUndo    Op = "undo"    // the operation of the same number, executed or not
)

// Operation is one operation on a wait group.
type Operation struct {
	Key          string
	Session      string // that numbers it
	Seq          int64  // the number
	AckedThrough int64  // all up to this one are finished: a late copy of them counts nothing
	Op           Op
	Delta        int64
	Token        string
	TTL          time.Duration
}

// Outcome is the reply of Redis to an Operation.
type Outcome int64

const (
	Rejected      Outcome = 0 // the count would be negative, or there is nothing to claim or undo
	Applied       Outcome = 1
	TaskAbandoned Outcome = 2  // the task has been abandoned
	Superseded    Outcome = -1 // the operation was acknowledged, or undone
)

// UpdateReply is what Redis replies to an Operation.
type UpdateReply struct {
	Outcome
	Found int64 // the generation before the operation, finished or not; 0 if there was none
}

// Generation is the state of a group. The zero Generation is that of a group that does not exist.
type Generation struct {
	Number      int64 // grows
	Remaining   int64 // the count and its tasks
	OldestKnown int64 // nothing is known of generations before this one
	Abandoned   map[int64]int64
}

var (
	// ErrNegativeCounter is returned if more was done than had been added.
	ErrNegativeCounter = errors.New("baton: negative WaitGroup counter")
	// ErrNothingToClaim is returned if nothing is left to claim.
	ErrNothingToClaim = errors.New("baton: nothing to claim")
	// ErrAbandoned is returned if tasks have ended with their process.
	ErrAbandoned = errors.New("baton: tasks abandoned")
	// ErrDone is returned for a task that its process has ended.
	ErrDone = errors.New("baton: task done")
	// ErrTaskLost is returned for a task that was lost before its process ended it.
	ErrTaskLost = errors.New("baton: task lost")
	// ErrOutcomeUnknown is returned for an operation that Redis may have executed and forgotten.
	ErrOutcomeUnknown = errors.New("outcome unknown: Redis was unreachable for longer than it remembers operations")
)

// errSuperseded is returned for an operation that Redis has recorded as finished, or undone.
var errSuperseded = errors.New("outcome unknown: Redis has recorded this operation as finished or undone")

// errGroupLost is the ErrTaskLost of a wait whose group Redis has lost, with its tasks.
var errGroupLost error = groupLostError{}

type groupLostError struct{}

func (groupLostError) Error() string        { return "group lost" }
func (groupLostError) Is(target error) bool { return target == ErrTaskLost }

// AbandonedError is the ErrAbandoned of that many tasks.
type AbandonedError struct{ Tasks int }

func (e *AbandonedError) Error() string {
	return fmt.Sprintf("%v: %d", ErrAbandoned, e.Tasks)
}

// Is reports whether target is ErrAbandoned.
func (e *AbandonedError) Is(target error) bool { return target == ErrAbandoned }
