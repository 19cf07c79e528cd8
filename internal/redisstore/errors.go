package redisstore

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
)

// transientCodes are those of a server that may answer well a moment later: it starts,
// fails over, is out of memory, or runs another's script. In a cluster the last one
// reads "… clients + cluster connections reached".
var transientCodes = []string{
	"LOADING", "READONLY", "CLUSTERDOWN", "MASTERDOWN", "TRYAGAIN", "NOREPLICAS", "MISCONF",
	"OOM", "BUSY", "UNKILLABLE", "MOVED", "ASK", "UNBLOCKED", "max number of clients",
}

// deniedTexts are in what a server says to a user without the rights. Redis 6 and 7.0
// refuse a command of a script in a sentence of their own.
var deniedTexts = []string{
	"NOPERM", "ACL failure in script", "The user executing the script",
	"NOAUTH", "WRONGPASS", "unauthenticated", "AUTH <password>", "Client sent AUTH", "invalid password", "protected mode",
}

// permanentTexts are in what a server says to a request that will never succeed.
// Those of a failure inside a script stand anywhere in its text.
var permanentTexts = []string{
	"WRONGTYPE", "ERR the key ", // the last is of our own scripts
	"CROSSSLOT", "hash to the same slot",
	"unknown command", "unsupported command", "Unknown Redis command", "not allowed from script", "non deterministic command", "undeclared key",
	"Error compiling script", "syntax error", "wrong number of arguments",
	"is not an integer", "not a valid float", "invalid expire", "out of range", "SELECT is not allowed", "cluster support disabled",
}

// classify marks what is known of an error. What is neither the server's answer nor a
// closed client is the network's, or a hook's, and transient. A server's answer that
// is not known here is transient too, until it has lasted: a proxy's passing trouble
// has any text.
func classify(rdb redis.UniversalClient, err error) error {
	var reply redis.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, redis.ErrClosed):
		return lease.Permanent(err)
	case !errors.As(err, &reply):
		return err
	}
	text := reply.Error()
	contains := func(what string) bool { return strings.Contains(text, what) }
	isCode := func(code string) bool {
		// Redis 6 hides the code of a failure inside a script in its sentence.
		return strings.HasPrefix(strings.TrimPrefix(text, "ERR "), code) || contains(": -"+code+" ")
	}
	switch {
	case (isCode("MOVED") || isCode("ASK")) && !followsRedirects(rdb):
		return lease.Permanent(fmt.Errorf("%w (a node of a cluster needs a client that follows this: redis.NewClusterClient)", err))
	case slices.ContainsFunc(transientCodes, isCode), contains("non local key"): // a key ran out while its slot was moved: see lib/slot_migration.lua
		return err
	case slices.ContainsFunc(deniedTexts, contains):
		return lease.Denied(err)
	case slices.ContainsFunc(permanentTexts, contains):
		return lease.Permanent(err)
	}
	return lease.Unknown(err)
}
