package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/redis/go-redis/v9"
)

// list prints all locks, or the locks whose names match a Redis pattern.
func list(args []string) error {
	f := flags("ls", "dlock ls [pattern]")
	if err := parseArgs(f, args, 0, 1); err != nil {
		return err
	}
	pattern := cmp.Or(f.Arg(0), "*")
	ctx := context.Background()
	rdb, err := connect(ctx)
	if err != nil {
		return err
	}
	defer rdb.Close()
	names, err := locks(ctx, rdb, pattern)
	if err != nil {
		return fail(exitUnavailable, "%w", err)
	}
	more, err := valueNames(ctx, rdb, pattern)
	if err != nil {
		return fail(exitUnavailable, "%w", err)
	}
	names = append(names, more...)
	slices.Sort(names)
	names = slices.Compact(names)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for _, name := range names {
		s, err := inspectKey(ctx, rdb, name)
		var f *failure
		switch {
		case errors.As(err, &f) && f.status == exitUsage, err == nil && s.Kind == isFree: // changed since the scan
		case err != nil:
			return err
		default:
			fmt.Fprintf(w, "%s\t%s\t%s\n", plain(name), s.Kind, s.summary())
		}
	}
	return w.Flush()
}

// locks returns the names of locks that match the pattern. It uses SCAN, which does not block
// Redis, and reads only the beginning of strings.
func locks(ctx context.Context, rdb *redis.Client, pattern string) (names []string, err error) {
	for cursor := uint64(0); ; {
		var keys []string
		if keys, cursor, err = rdb.Scan(ctx, cursor, pattern, 500).Result(); err != nil {
			return nil, err
		}
		keys = slices.DeleteFunc(keys, func(key string) bool { return strings.HasPrefix(key, "baton:{") })
		found, err := ofLocks(ctx, rdb, keys)
		if err != nil {
			return nil, err
		}
		if names = append(names, found...); cursor == 0 {
			slices.Sort(names)
			return slices.Compact(names), nil // SCAN can return a key twice
		}
	}
}

// ofLocks returns the keys that are locks. It sends two pipelines: one reads the types, the other
// the beginnings of the values.
func ofLocks(ctx context.Context, rdb *redis.Client, keys []string) (names []string, err error) {
	types, err := rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, key := range keys {
			p.Type(ctx, key)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	marks, _ := rdb.Pipelined(ctx, func(p redis.Pipeliner) error { // an error of one key is in its own command
		for i, key := range keys {
			switch types[i].(*redis.StatusCmd).Val() {
			case "string":
				p.GetRange(ctx, key, 0, 5)
			case "hash":
				p.HGet(ctx, key, "state")
			case "zset":
				p.ZRangeByScore(ctx, key, &redis.ZRangeBy{Min: "0", Max: "0", Count: 1})
			default:
				p.Echo(ctx, "")
			}
		}
		return nil
	})
	for i, mark := range marks {
		isLock := false
		switch cmd := mark.(type) {
		case *redis.StringCmd:
			isLock = cmd.Val() == "baton:" || cmd.Val() == "limit " || cmd.Name() == "hget" && strings.Count(cmd.Val(), " ") >= 7
		case *redis.StringSliceCmd:
			isLock = len(cmd.Val()) == 1 && strings.HasPrefix(cmd.Val()[0], "generation ")
		}
		if isLock {
			names = append(names, keys[i])
		} else if err := mark.Err(); err != nil && err != redis.Nil && !redis.HasErrorPrefix(err, "WRONGTYPE") {
			return nil, err
		}
	}
	return names, nil
}
