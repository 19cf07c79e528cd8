// Package server is the Redis that the examples run on: the one at REDIS_URL, or
// one of their own.
package server

import (
	"context"
	"fmt"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// A Server is a Redis with a client of it.
type Server struct {
	*redis.Client
	URL  string
	Name string // what to call it
	own  *miniredis.Miniredis
}

// Connect returns the server at url, or one inside this process if url is empty.
func Connect(ctx context.Context, url string) (*Server, error) {
	if url == "" {
		return embedded()
	}
	o, err := redis.ParseURL(url)
	if err != nil {
		return nil, fmt.Errorf("REDIS_URL: %w", err)
	}
	s := &Server{Client: redis.NewClient(o), URL: url, Name: "Redis at " + o.Addr}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := s.Ping(ctx).Err(); err != nil {
		s.Close()
		return nil, fmt.Errorf("REDIS_URL: %w", err)
	}
	return s, nil
}

// embedded starts a miniredis, which speaks Redis' protocol on a real port.
func embedded() (*Server, error) {
	own := miniredis.NewMiniRedis()
	own.ClockTTL(true) // its keys expire as time goes by
	if err := own.Start(); err != nil {
		return nil, fmt.Errorf("the embedded server: %w", err)
	}
	return &Server{
		Client: redis.NewClient(&redis.Options{Addr: own.Addr()}),
		URL:    "redis://" + own.Addr(),
		Name:   "an embedded miniredis at " + own.Addr(),
		own:    own,
	}, nil
}

// Close ends it all.
func (s *Server) Close() {
	_ = s.Client.Close() // all is over, and nothing can be done
	if s.own != nil {
		s.own.Close()
	}
}
