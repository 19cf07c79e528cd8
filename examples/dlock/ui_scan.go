package main

import (
	"context"
	"path"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redisstore"
)

// Limits of the two scans in one second. The scan of companion keys only compares names. The plain
// scan requests the type of each key, so it is slow.
const (
	companionSteps, companionCount = 50, 1000
	plainSteps, plainCount         = 2, 100
	maxFound                       = 20_000
)

// A scanner finds the keys of locks among all keys, by SCAN in steps. A lock or semaphore that was
// used in the last hour has a companion key that contains its name. A limiter may have none.
type scanner struct {
	pattern  string
	found    map[string]bool
	order    []string // of found
	position int      // index into order
	cursors  [2]uint64
}

func newScanner(pattern string) scanner {
	return scanner{pattern: pattern, found: map[string]bool{}}
}

// matches reports whether the key matches the pattern. It hides slashes, which are special in path.Match.
func (s *scanner) matches(key string) bool {
	slash := strings.NewReplacer("/", "\x00")
	ok, err := path.Match(slash.Replace(s.pattern), slash.Replace(key))
	return ok && err == nil && !strings.HasPrefix(key, "baton:{")
}

func (s *scanner) add(key string) {
	if !s.found[key] && len(s.found) < maxFound {
		s.found[key] = true
		s.order = append(s.order, key)
	}
}

func (s *scanner) forget(key string) { delete(s.found, key) }

// next returns up to n keys, in rotation.
func (s *scanner) next(n int, skip func(string) bool) (names []string) {
	for range s.order {
		if len(names) >= n || len(s.order) == 0 {
			break
		}
		s.position %= len(s.order)
		switch key := s.order[s.position]; {
		case !s.found[key]: // forgotten
			s.order[s.position] = s.order[len(s.order)-1]
			s.order = s.order[:len(s.order)-1]
		case skip(key):
			s.position++
		default:
			names = append(names, key)
			s.position++
		}
	}
	return names
}

// step continues both scans. A finished scan restarts in the next second.
func (s *scanner) step(ctx context.Context, rdb *redis.Client) error {
	for range companionSteps {
		keys, err := s.scan(ctx, rdb, 0, "baton:{*", companionCount)
		if err != nil {
			return err
		}
		for _, companion := range keys {
			if key, ok := redisstore.KeyOf(companion); ok && s.matches(key) {
				s.add(key)
			}
		}
		if s.cursors[0] == 0 {
			break
		}
	}
	for range plainSteps {
		keys, err := s.scan(ctx, rdb, 1, s.pattern, plainCount)
		if err != nil {
			return err
		}
		var unknown []string
		for _, key := range keys {
			if !s.found[key] && !strings.HasPrefix(key, "baton:{") {
				unknown = append(unknown, key)
			}
		}
		names, err := ofLocks(ctx, rdb, unknown)
		if err != nil {
			return err
		}
		for _, key := range names {
			s.add(key)
		}
		if s.cursors[1] == 0 {
			break
		}
	}
	return nil
}

func (s *scanner) scan(ctx context.Context, rdb *redis.Client, which int, pattern string, count int64) (keys []string, err error) {
	keys, next, err := rdb.Scan(ctx, s.cursors[which], pattern, count).Result()
	if err == nil {
		s.cursors[which] = next
	}
	return keys, err
}
