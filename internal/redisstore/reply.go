package redisstore

import (
	"fmt"

	"github.com/seed-3d5fec5c/baton/internal/lease"
)

// parseInts reads a reply of so many numbers. What is anything else was not written
// by a script of ours, and says nothing: least of all that something is granted, or
// lost.
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

// parseInt reads a reply of one number.
func parseInt(val any) (int64, error) {
	n, ok := val.(int64)
	if !ok {
		return 0, unexpectedReply(val)
	}
	return n, nil
}

// unexpectedReply is the error of a reply that no script of ours makes: nil, from a hook or a
// wrapper that has sent nothing; anything else, from a proxy.
func unexpectedReply(val any) error { return lease.Unknown(fmt.Errorf("unexpected reply %v", val)) }
