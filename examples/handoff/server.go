package main

import (
	"context"
	"fmt"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// connect returns a client of the server at url, or of one inside this process
// if url is empty, what to call that server, and how to end it all.
func connect(ctx context.Context, url string) (rdb *redis.Client, where string, hangUp func(), err error) {
	if url == "" {
		return embedded()
	}
	o, err := redis.ParseURL(url)
	if err != nil {
		return nil, "", nil, fmt.Errorf("REDIS_URL: %w", err)
	}
	rdb = redis.NewClient(o)
	hangUp = func() { _ = rdb.Close() } // all is over, and nothing can be done
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := rdb.Ping(ctx).Err(); err != nil {
		hangUp()
		return nil, "", nil, fmt.Errorf("REDIS_URL: %w", err)
	}
	return rdb, "Redis at " + o.Addr, hangUp, nil
}

// embedded starts a miniredis, which speaks Redis' protocol on a real port.
func embedded() (rdb *redis.Client, where string, hangUp func(), err error) {
	server := miniredis.NewMiniRedis()
	server.ClockTTL(true) // its keys expire as time goes by
	if err := server.Start(); err != nil {
		return nil, "", nil, fmt.Errorf("the embedded server: %w", err)
	}
	rdb = redis.NewClient(&redis.Options{Addr: server.Addr()})
	hangUp = func() {
		_ = rdb.Close()
		server.Close()
	}
	return rdb, "an embedded miniredis at " + server.Addr(), hangUp, nil
}
