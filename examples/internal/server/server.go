// Package server connects the examples to Redis: to the server at REDIS_URL, or to an
// embedded one.
package server

import (
	"context"
	"fmt"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// A Server is a Redis server with a client.
type Server struct {
	*redis.Client
	URL  string
	Name string // for people
	own  *miniredis.Miniredis
}

// Connect returns the server at url, or an embedded one if url is empty.
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

// embedded starts a miniredis on a real port.
func embedded() (*Server, error) {
	own := miniredis.NewMiniRedis()
	own.ClockTTL(true) // keys expire
	if err := own.Start(); err != nil {
		return nil, fmt.Errorf("embedded server: %w", err)
	}
	return &Server{
		Client: redis.NewClient(&redis.Options{Addr: own.Addr()}),
		URL:    "redis://" + own.Addr(),
		Name:   "an embedded miniredis at " + own.Addr(),
		own:    own,
	}, nil
}

// Close closes the client, and stops an embedded server.
func (s *Server) Close() {
	_ = s.Client.Close()
	if s.own != nil {
		s.own.Close()
	}
}
