package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// A node is a redis-server with data.
type node struct {
	*redistest.Server
	admin *redis.Client
	dir   string
}

func newNode(dir string, args ...string) (*node, error) {
	s, err := redistest.Launch(dir, args...)
	if err != nil {
		return nil, err
	}
	o := s.Options()
	o.PoolSize = 2
	return &node{s, redis.NewClient(o), dir}, nil
}

func (n *node) close() {
	_ = n.admin.Close()
	n.Kill()
}

func (n *node) do(args ...any) (any, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	v, err := n.admin.Do(ctx, args...).Result()
	if err != nil && err != redis.Nil {
		return nil, fmt.Errorf("redis %v: %w", args, err)
	}
	return v, nil
}

// info is the value of a field of INFO, "" if it is not there.
func (n *node) info(field string) (string, error) {
	text, err := n.do("INFO", "everything")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(text.(string)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), field+":"); ok {
			return value, nil
		}
	}
	return "", nil
}

// await waits until a field of INFO is what it is to be.
func (n *node) await(field, value string) error {
	var last string
	var err error
	if !eventually(20*time.Second, func() bool { last, err = n.info(field); return err == nil && last == value }) {
		return fmt.Errorf("soak: %s: %s is %q, not %q (%v)", n.Addr(), field, last, value, err)
	}
	return nil
}

// names lists all keys.
func (n *node) names() (list []string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for i := n.admin.Scan(ctx, 0, "*", 1000).Iterator(); i.Next(ctx); {
		list = append(list, i.Val())
	}
	return list, err
}
