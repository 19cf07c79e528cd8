package redisstore

import (
	"fmt"

	"github.com/seed-3d5fec5c/baton/internal/retry"
)

// parseInts parses a reply of want numbers. Any other reply was not made by one of our scripts
// and is an error, so that it is never taken for a grant or a loss.
func parseInts(val any, want int) (n [5]int64, err error) {
	tuple, _ := val.([]any)
	if len(tuple) != want {
		return n, unexpectedReply(val)
	}
	for i := range tuple {
		var ok bool
		if n[i], ok = tuple[i].(int64); !ok {
			return [5]int64{}, unexpectedReply(val)
		}
	}
	return n, nil
}

// parseInt parses a reply of one number.
func parseInt(val any) (int64, error) {
	n, ok := val.(int64)
	if !ok {
		return 0, unexpectedReply(val)
	}
	return n, nil
}

// unexpectedReply returns the error of a reply that none of our scripts makes. A nil reply comes
// from a hook or a wrapper that has sent nothing, any other from a proxy.
func unexpectedReply(val any) error { return retry.Unknown(fmt.Errorf("unexpected reply %v", val)) }
