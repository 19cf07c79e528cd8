package main

import (
	"context"
	"crypto/rand"
	"runtime"

	"github.com/redis/go-redis/v9"
)

const (
	// senders is the number of pipelines in flight.
	senders = 2
	// maxBatch is the maximum number of commands in a pipeline.
	maxBatch = 128
)

// pipeline is the simplest group commit of floor-fenced's commands. Each sender has a connection, and
// sends the queued commands as one pipeline.
type pipeline struct {
	goRedis
	queue chan *queuedCmd
}

// A queuedCmd is a command that waits for a sender.
type queuedCmd struct {
	script *redis.Script
	keys   []string
	args   []any
	cmd    *redis.Cmd
	done   chan struct{} // capacity 1
}

func openPipeline(addr string) (client, error) {
	rdb := redis.NewClient(options(addr).Simple())
	for _, s := range []*redis.Script{lockFenced, compareAndDelete} {
		if err := s.Load(context.Background(), rdb).Err(); err != nil {
			return nil, err
		}
	}
	p := pipeline{goRedis{rdb}, make(chan *queuedCmd, maxBatch)}
	for range senders {
		go p.send(rdb.Conn())
	}
	return p, nil
}

func (p pipeline) close() {
	close(p.queue)
	p.goRedis.close()
}

func (p pipeline) send(conn *redis.Conn) {
	defer conn.Close()
	for first := range p.queue {
		runtime.Gosched() // goroutines that are about to queue a command do so first
		batch, pipe := []*queuedCmd{first}, conn.Pipeline()
		for len(p.queue) > 0 && len(batch) < maxBatch {
			batch = append(batch, <-p.queue)
		}
		for _, c := range batch {
			c.cmd = pipe.EvalSha(context.Background(), c.script.Hash(), c.keys, c.args...)
		}
		_, _ = pipe.Exec(context.Background()) // each command has its own error
		for _, c := range batch {
			c.done <- struct{}{}
		}
	}
}

func (p pipeline) handle(key string) handle {
	return &pipelineHandle{p, []string{key, "{" + key + "}:fence"}, rand.Text(), make(chan struct{}, 1)}
}

type pipelineHandle struct {
	pipeline
	keys  []string
	token string
	done  chan struct{}
}

func (h *pipelineHandle) run(s *redis.Script, keys []string, args ...any) error {
	c := &queuedCmd{script: s, keys: keys, args: args, done: h.done}
	h.queue <- c
	<-c.done
	n, err := c.cmd.Int64()
	if err == nil && n == 0 {
		return errHeld
	}
	return err
}

func (h *pipelineHandle) lock(context.Context) error {
	return h.run(lockFenced, h.keys, h.token, TTL.Milliseconds())
}

func (h *pipelineHandle) unlock() error { return h.run(compareAndDelete, h.keys[:1], h.token) }
