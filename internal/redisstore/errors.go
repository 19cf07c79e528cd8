package redisstore

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/retry"
)

// transientCodes are the error codes of a server that may succeed a moment later: it is
// starting, failing over, out of memory, or running a long script. In a cluster the text of
// the last one is "max number of clients + cluster connections reached".
var transientCodes = []string{
	"LOADING", "READONLY", "CLUSTERDOWN", "MASTERDOWN", "TRYAGAIN", "NOREPLICAS", "MISCONF",
	"OOM", "BUSY", "UNKILLABLE", "MOVED", "ASK", "UNBLOCKED", "max number of clients",
}

// movingTexts occur in the errors of a script when some of its keys have moved to another node, or
// expired, while their slot is moved: see lib/slot_migration.lua. The second is for a command with
// several keys since Redis 7.4, and the third for a slot that no node serves for now.
var movingTexts = []string{"non local key", "undeclared keys were accessed during rehashing", "slot not served"}

// deniedTexts occur in the errors of a user without the necessary rights. Redis 6 and 7.0 have
// a text of their own for a command inside a script.
var deniedTexts = []string{
	"NOPERM", "ACL failure in script", "The user executing the script",
	"NOAUTH", "WRONGPASS", "unauthenticated", "AUTH <password>", "Client sent AUTH", "invalid password", "protected mode",
}

// permanentTexts occur in the errors of a request that will never succeed. For a failure inside
// a script they can stand anywhere in the error's text.
var permanentTexts = []string{
	"WRONGTYPE", "ERR the key ", // the last is of our own scripts
	"CROSSSLOT", "hash to the same slot",
	"unknown command", "unsupported command", "Unknown Redis command", "non deterministic command",
	"Error compiling script", "syntax error", "wrong number of arguments",
	"is not an integer", "not a valid float", "invalid expire", "out of range", "SELECT is not allowed", "cluster support disabled",
}

// classify marks err with its class. Errors of the network or of a hook are transient and
// get no mark. A server's error that is not listed above is marked Unknown: it counts as
// transient until it has lasted, because a proxy's transient error may have any text.
func classify(rdb redis.UniversalClient, err error) error {
	var reply redis.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, redis.ErrClosed):
		return retry.Permanent(err)
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
		return retry.Permanent(fmt.Errorf("%w (a node of a cluster needs a client that follows this: redis.NewClusterClient)", err))
	case slices.ContainsFunc(transientCodes, isCode), slices.ContainsFunc(movingTexts, contains):
		return err
	case slices.ContainsFunc(deniedTexts, contains):
		return retry.Denied(err)
	case contains("not allowed from script"):
		return retry.Permanent(fmt.Errorf("%w (the server must allow TIME in scripts, and this one does not: use another)", err))
	case contains("undeclared key"):
		return retry.Permanent(fmt.Errorf("%w (the server refuses keys of a script that are not declared: set it to allow them, or use another)", err))
	case slices.ContainsFunc(permanentTexts, contains):
		return retry.Permanent(err)
	}
	return retry.Unknown(err)
}
