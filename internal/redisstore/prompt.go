package redisstore

import (
	"context"
	"errors"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"weak"

	"github.com/redis/go-redis/v9"
)

// A promptCmd is a command whose reply is awaited for promptTimeout only. go-redis does not
// end such a wait with the ctx, so a call with a ctx would have to wait on another goroutine.
type promptCmd struct{ noRetryCmd }

func (c promptCmd) Clone() redis.Cmder { return promptCmd{c.noRetryCmd.Clone().(noRetryCmd)} }

// A promptHook is a hook of a client which sends each [promptCmd] by a clone of the client.
// The clone has a short timeout, shares the client's connections, and has no hooks. So the
// promptHook must be the innermost one: it is out of use once the program adds another.
// A connection on which a reply does not come in time is closed.
// In a cluster, each node's client has one.
type promptHook struct {
	clone     *redis.Client
	node      bool    // the client is that of a node of a cluster
	innermost uintptr // code of go-redis' function that executes a command, which the innermost hook calls
	inUse     atomic.Bool
}

// promptHooks maps a client to its hook, so that a client has one, whatever the number of
// its stores. The client keeps the hook in memory, and an entry is deleted with it.
var (
	promptHooksMu sync.Mutex
	promptHooks   = map[weak.Pointer[redis.Client]]weak.Pointer[promptHook]{}
)

// promptHookOf returns the promptHook of a client, or nil for a client without timeouts:
// go-redis would not clear the deadlines that the clone sets on the connections.
func promptHookOf(rdb *redis.Client, node bool) *promptHook {
	o := rdb.Options()
	if o.ReadTimeout <= 0 || o.WriteTimeout <= 0 {
		return nil
	}
	id := weak.Make(rdb)
	promptHooksMu.Lock()
	defer promptHooksMu.Unlock()
	if h := promptHooks[id].Value(); h != nil {
		return h
	}
	h := &promptHook{node: node, clone: rdb.WithTimeout(min(promptTimeout, o.ReadTimeout, o.WriteTimeout))}
	promptHooks[id] = weak.Make(h)
	runtime.AddCleanup(h, func(id weak.Pointer[redis.Client]) {
		promptHooksMu.Lock()
		defer promptHooksMu.Unlock()
		delete(promptHooks, id)
	}, id)
	rdb.AddHook(h)
	return h
}

// ProcessHook is called whenever go-redis makes a chain of the client's hooks.
func (h *promptHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	code := reflect.ValueOf(next).Pointer()
	if h.innermost == 0 {
		h.innermost = code
		h.inUse.Store(true)
	}
	if code != h.innermost { // a hook was added
		h.inUse.Store(false)
		return nil
	}
	return func(ctx context.Context, cmd redis.Cmder) error {
		if _, ok := cmd.(promptCmd); ok {
			err := h.clone.Process(ctx, cmd)
			if h.node && isRedirect(err) {
				return errRedirected
			}
			return err
		}
		return next(ctx, cmd)
	}
}

func (*promptHook) DialHook(redis.DialHook) redis.DialHook { return nil }

func (*promptHook) ProcessPipelineHook(redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return nil
}

// errRedirected is returned for a prompt command that the node did not execute, as its slot
// moves or has moved. go-redis would send it to a node whose client may have no promptHook.
var errRedirected = errors.New("the slot of the key moves")

// isRedirect reports whether the error is MOVED or ASK.
func isRedirect(err error) bool {
	return err != nil && (strings.HasPrefix(err.Error(), "MOVED ") || strings.HasPrefix(err.Error(), "ASK "))
}
