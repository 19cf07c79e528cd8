// Package server connects the examples to the Redis server at REDIS_URL, or to an embedded server.
package server

import (
	"context"
	"fmt"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// A Server is a client of a Redis server, which may be embedded.
type Server struct {
	*redis.Client
	URL  string
	Name string               // for messages
	mini *miniredis.Miniredis // nil unless embedded
}

// Connect connects to the server at url, or starts an embedded server if url is empty.
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
	mini := miniredis.NewMiniRedis()
	mini.ClockTTL(true) // keys expire
	if err := mini.Start(); err != nil {
		return nil, fmt.Errorf("embedded server: %w", err)
	}
	return &Server{
		Client: redis.NewClient(&redis.Options{Addr: mini.Addr()}),
		URL:    "redis://" + mini.Addr(),
		Name:   "an embedded miniredis at " + mini.Addr(),
		mini:   mini,
	}, nil
}

// Close closes the client, and stops an embedded server.
func (s *Server) Close() {
	_ = s.Client.Close()
	if s.mini != nil {
		s.mini.Close()
	}
}
