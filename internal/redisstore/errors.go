package redisstore

import (
	"errors"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
)

// passing lists the error codes of a server that may answer well a moment
// later: it starts, fails over, is out of memory, or runs another's script. In a
// cluster the last one reads "… clients + cluster connections reached".
var passing = []string{
	"LOADING", "READONLY", "CLUSTERDOWN", "MASTERDOWN", "TRYAGAIN", "NOREPLICAS", "MISCONF",
	"OOM", "BUSY", "MOVED", "ASK", "UNBLOCKED", "ERR max number of clients",
}

// classify marks an error that no waiting can cure. What is neither the
// server's answer nor a closed client is the network's, and passes.
func classify(err error) error {
	var reply redis.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, redis.ErrClosed):
		return lease.Permanent(err)
	case !errors.As(err, &reply):
		return err
	}
	// A key has run out while its slot was being moved: see moving.lua.
	if strings.Contains(reply.Error(), "non local key") {
		return err
	}
	for _, code := range passing {
		// Redis 6 hides the code of a failure inside a script in its sentence.
		if text := reply.Error(); strings.HasPrefix(text, code) || strings.Contains(text, ": -"+code+" ") {
			return err
		}
	}
	return lease.Permanent(err)
}
