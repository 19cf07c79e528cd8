// Package redisstore implements the stores of the engine in Redis: the Lua scripts, the
// parsing of their replies, the classes of errors, the subscription that receives hand-overs, and
// the pipelines. It keeps no state about locks. Packages lease, taskgroup and ratelimit decide when
// a script runs. keys.go lists all keys and messages. internal/PROTOCOL.md has the rules and their reasons.
//
// The stores:
//
//	store.go         Acquire, Release, Renew: the request for a lock or for permits, and what its reply means
//	value.go         ReadValue, WriteValue, ReleaseValue, acquireValue: the value beside a mutex
//	value_clear.go   ClearValue: how the value of a free mutex is deleted
//	waitgroup.go     UpdateGroup, GroupStatus: wait groups
//	limit.go         Take, Refund: rate limiters
//	inspect.go       Inspect: what Redis knows of a key
//	manager.go       StoreFor, ManagerFor: one store for each client
//
// The way to a server:
//
//	client.go        resolve: which client a wrapper stands for
//	transport.go     send: which server gets a command
//	renewals.go      renew: how renewals are batched
//	pipeliner.go     send: whether a command goes at once or in the next pipeline
//	prompt.go        promptHook: how the wait for a reply is kept short
//	wait_replicas.go confirm: renewals that count when replicas have received them
//	pubsub.go        Subscribe, listen: the subscription and its health
//	message.go       parseMessage: what a message contains
//	node_channel.go  nodeChannel: messages that go to one node of a cluster only
//
// What is sent, and what comes back:
//
//	keys.go          keysFor: all keys, fields and messages
//	lockorder.go     LockOrder: in which order several keys are locked
//	script.go        load: the scripts, with the files that they include
//	reply.go         parseInts: what a reply must look like
//	errors.go        classify: which errors are permanent, and which are retried
//	check.go         Check: whether a server has what baton needs
//
// The scripts are mutex_*.lua, permits_*.lua (reader/writer locks and semaphores), value_*.lua,
// waitgroup_*.lua and limiter*.lua. Each begins with its KEYS, its ARGV and its replies. lib/*.lua
// has the parts that several of them include.
package redisstore

import (
	"context"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/retry"
	"github.com/seed-3d5fec5c/baton/internal/taskgroup"
)

// Store is the store of all primitives of a client: a [lease.Store], a [taskgroup.Store] and a
// [ratelimit.Store].
type Store struct {
	rdb       redis.UniversalClient
	transport *transport
	manager   *lease.Manager
	groups    *taskgroup.Manager

	nodes atomic.Pointer[nodeSubscriptions] // nil while there is no subscription, or the server is no cluster
}

// NewStore returns the store of a client.
func NewStore(rdb redis.UniversalClient) *Store {
	s := &Store{rdb: rdb, transport: newTransport(rdb)}
	s.manager = lease.NewManager(s)
	s.groups = taskgroup.NewManager(s.manager.Client, s)
	return s
}

// IsPrompt is [lease.Store]'s.
func (s *Store) IsPrompt(name lease.Name) bool {
	if s.transport.cluster == nil {
		return s.transport.single.isPrompt()
	}
	keys, err := keysFor(name)
	return err == nil && s.transport.isPrompt(keys[0].(string))
}

// MaxBlock returns for how long a command may block after its ctx has ended: go-redis'
// ReadTimeout, and before that connTimeout if its pipeline waits for a connection; or 0 if the
// client has ContextTimeoutEnabled.
func (s *Store) MaxBlock() time.Duration {
	var read time.Duration
	var ctxTimeouts bool
	switch rdb := s.rdb.(type) {
	case *redis.Client:
		read, ctxTimeouts = rdb.Options().ReadTimeout, rdb.Options().ContextTimeoutEnabled
	case *redis.ClusterClient:
		read, ctxTimeouts = rdb.Options().ReadTimeout, rdb.Options().ContextTimeoutEnabled
	}
	switch {
	case ctxTimeouts:
		return 0
	case read <= 0: // no timeout, or an unknown kind of client
		return math.MaxInt64
	}
	return read + connTimeout
}

func (s *Store) Acquire(ctx context.Context, r lease.Request) (lease.Reply, error) {
	if r.Enqueue || r.WantShared { // only waiters and readers get messages
		r.Channel = s.handoverChannel(ctx, r) // in a cluster: this process's channel on the key's node
	}
	if r.Value != nil && r.Replaces == "" {
		return s.acquireValue(ctx, r)
	}
	keys, err := keysFor(r.Name)
	if err != nil {
		return lease.Reply{}, retry.Permanent(err)
	}
	var buf [maxArgs]any // does not escape
	script, args := permitsUpdate, buf[:0]
	if r.Kind == lease.Mutex {
		script, args = acquireMutex(args, r)
	} else {
		args = permitsArgs(args, r)
	}
	val, err := s.transport.send(ctx, script, keys, args, r.Prompt)
	if err != nil {
		return lease.Reply{}, classify(s.rdb, err)
	}
	if r.Kind == lease.Mutex {
		return mutexReply(val)
	}
	n, err := parseInts(val, 5)
	switch {
	case err != nil:
		return lease.Reply{}, err
	case n[0] > 1 || n[0] < -2:
		return lease.Reply{}, unexpectedReply(val)
	}
	reply := lease.Reply{Granted: n[0] == 1, FenceBase: n[1], Lost: n[0] == -1}
	switch {
	case n[0] == -2:
		return reply, retry.Permanent(sizeError(r, n[1]))
	case reply.Granted: // the others are contended, weight, granted
		reply.Contended, reply.Weight, reply.GrantedNow = n[2] == 1, n[3], n[4]
	default: // the others are contended, ms left, may linger
		reply.Contended, reply.Remaining, reply.MayLinger = n[2] == 1, time.Duration(n[3])*time.Millisecond, n[4] == 1
		if r.Want == 0 && reply.Remaining == 0 && !reply.Lost { // it let waiters in, and its claim sends no further request
			s.repeatRelease(ctx, permitsRelease, keys, []any{"", string(r.Kind)})
		}
	}
	return reply, nil
}

// minFenceBase is below every fence base: a base is at least the server's time in µs. So no
// number that another script may reply is taken for a grant.
const minFenceBase = 1 << 40

// mutexReply reads the reply of mutex_acquire.lua or mutex_yield.lua.
func mutexReply(val any) (lease.Reply, error) {
	if base, ok := val.(int64); ok {
		contended := base < 0
		if base = max(base, -base); base < minFenceBase {
			return lease.Reply{}, unexpectedReply(val)
		}
		return lease.Reply{Granted: true, FenceBase: base, Weight: 1, GrantedNow: 1, Contended: contended}, nil
	}
	n, err := parseInts(val, 2)
	return lease.Reply{Lost: n[0] == -2, Remaining: time.Duration(n[0]) * time.Millisecond, MayLinger: n[1] == 2, ForeignOwner: n[1] == 0}, err
}

// acquireMutex returns the script of a request for a mutex, and appends its ARGV to args.
func acquireMutex(args []any, r lease.Request) (*script, []any) {
	n := r.Seq
	if !r.Enqueue {
		n = 0
	}
	args = append(args, r.Token, r.TTL.Milliseconds(), n)
	if n > 0 || r.Replaces != "" { // the waiter's entry
		args = append(args, r.HandoverTTL.Milliseconds(), r.Channel, r.Key)
	}
	if r.Replaces != "" {
		return mutexYield, append(args, r.Replaces)
	}
	return mutexAcquire, args
}

// maxArgs is the number of ARGV of permits_update.lua: no request has more.
const maxArgs = 15

// permitsArgs appends ARGV of permits_update.lua to args.
func permitsArgs(args []any, r lease.Request) []any {
	return append(args,
		r.Token, string(r.Kind), r.Seq, r.TTL.Milliseconds(), r.Keep, r.Want, r.WantSeq, r.Size, oneIf(r.Enqueue),
		r.HandoverTTL.Milliseconds(), r.Channel, oneIf(r.WantShared), oneIf(r.HeldShared), r.Extra, r.Key)
}

func oneIf(b bool) int {
	if b {
		return 1
	}
	return 0
}

func sizeError(r lease.Request, size int64) error {
	if r.Want > size {
		return fmt.Errorf("%w: requested %d permits, semaphore has %d", lease.ErrExceedsSize, r.Want, size)
	}
	return fmt.Errorf("%w: semaphore has %d permits, this process expects %d", lease.ErrSizeMismatch, size, r.Size)
}

func (s *Store) Release(ctx context.Context, name lease.Name, token string) (owned bool, err error) {
	keys, err := keysFor(name)
	if err != nil {
		return false, retry.Permanent(err)
	}
	var buf [2]any // does not escape
	end, args := mutexRelease, append(buf[:0], token)
	if name.Kind != lease.Mutex {
		end, args = permitsRelease, append(args, string(name.Kind))
	}
	val, err := s.transport.run(ctx, end, keys, args)
	if err != nil {
		return false, classify(s.rdb, ignoreWrongType(err))
	}
	owned, more, err := parseReleaseReply(val)
	if more {
		s.repeatRelease(ctx, end, keys, args)
	}
	return owned, err
}

// parseReleaseReply reads the reply of mutex_release.lua, permits_release.lua or permits_resize.lua.
func parseReleaseReply(val any) (owned, more bool, err error) {
	n, err := parseInt(val)
	if err == nil && (n < 0 || n > 3) {
		err = unexpectedReply(val)
	}
	return err == nil && n&1 == 1, err == nil && n >= 2, err
}

// maxSteps limits how often a script is repeated that does a part of its work each time.
const maxSteps = 10_000

// repeatRelease repeats a release until no waiter is left that Redis can let in. One script lets
// in a batch of waiters and drops a batch of stale entries. If repeatRelease fails, the next
// request of any waiter continues the work.
func (s *Store) repeatRelease(ctx context.Context, end *script, keys, args []any) {
	for range maxSteps {
		val, err := s.transport.run(ctx, end, keys, args)
		if _, more, _ := parseReleaseReply(val); err != nil || !more {
			return
		}
	}
}

// Resize makes n the size of the semaphore at key, for all processes.
func (s *Store) Resize(ctx context.Context, key string, declared, n int64) error {
	name := lease.Name{Kind: lease.Semaphore, Key: key}
	keys, err := keysFor(name)
	if err != nil {
		return retry.Permanent(err)
	}
	val, err := s.transport.run(ctx, permitsResize, keys, []any{"", string(name.Kind), declared, n})
	if err != nil {
		return classify(s.rdb, err)
	}
	_, more, err := parseReleaseReply(val)
	if more {
		s.repeatRelease(ctx, permitsRelease, keys, []any{"", string(name.Kind)})
	}
	return err
}

// Renew is [lease.Store]'s.
func (s *Store) Renew(claims []lease.Renewal, begin func(i int) bool, done func(i int, r lease.RenewResult)) {
	all := make([]renewal, len(claims))
	for i, c := range claims {
		r := &all[i]
		r.script, r.keys, r.args = mutexRenew, []any{c.Key}, []any{c.Token, c.TTL.Milliseconds()}
		r.confirm = c.Confirm
		switch c.Kind {
		case lease.Mutex:
			if c.Value {
				r.keys, _ = buildKeys(c.Key, []string{"queue", "value"}) // its claim has been granted: no error
			} else if keys, err := keysFor(c.Name); c.Contention && err == nil {
				r.keys = keys[:2]
			}
		case lease.RWMutex, lease.Semaphore:
			r.script, r.args = permitsRenew, []any{c.Token, string(c.Kind), c.TTL.Milliseconds()}
		case taskgroup.Kind:
			r.script = groupRenew
		}
		r.begin = func() bool { return begin(i) }
		r.done = func(val any, err error) {
			if err != nil {
				done(i, lease.RenewResult{Err: classify(s.rdb, ignoreWrongType(err))})
				return
			}
			kept, err := parseInt(val)
			noValue := kept > 4
			kept &= 3
			done(i, lease.RenewResult{Held: kept > 0, Contended: kept > 1, SeveralWait: kept > 2, NoValue: noValue, Err: err})
		}
	}
	s.transport.renew(all)
}

// ignoreWrongType returns nil for a WRONGTYPE error. A holder whose key has another type has
// lost the lock, and that is no error of the request.
func ignoreWrongType(err error) error {
	if redis.HasErrorPrefix(err, "WRONGTYPE") {
		return nil
	}
	return err
}
