package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// ui serves a page that shows all locks, until Ctrl-C.
func ui(args []string) error {
	f := flags("ui", "dlock ui [-addr 127.0.0.1:7070] [-filter pattern] [-allow-release]")
	addr := f.String("addr", "127.0.0.1:7070", "the `address` of the page; every client that can reach it can read all names and labels")
	filter := f.String("filter", "*", "show only keys that match this Redis `pattern`")
	release := f.Bool("allow-release", false, "the page may release locks without their holders, with a token that dlock prints")
	if err := parseArgs(f, args, 0, 0); err != nil {
		return err
	}
	ctx, restore := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer restore()
	rdb, err := connect(ctx)
	if err != nil {
		return err
	}
	defer rdb.Close()
	l, err := net.Listen("tcp", *addr)
	if err != nil {
		return fail(exitUsage, "%w", err)
	}
	p := newPage(rdb, *addr, *filter)
	fmt.Printf("http://%s shows the locks on Redis at %s\n", l.Addr(), rdb.Options().Addr)
	if *release {
		fmt.Printf("the token to release a lock is %s\n", p.allowRelease())
	}
	return p.serve(ctx, l)
}

// serve serves the page until ctx ends.
func (p *page) serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler: p, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, IdleTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10,
		BaseContext: func(net.Listener) context.Context { return ctx }, // ends the streams
	}
	stopped := make(chan struct{})
	defer context.AfterFunc(ctx, func() { server.Close(); close(stopped) })()
	err := server.Serve(&boundedListener{Listener: l})
	if ctx.Err() == nil {
		return err
	}
	<-stopped
	p.board.wait()
	return nil
}

// maxConns is the maximum number of connections. Further connections are closed at once.
const maxConns = 64

type boundedListener struct {
	net.Listener
	open atomic.Int64
}

func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.open.Add(1) <= maxConns {
			return &boundedConn{Conn: c, open: &l.open}, nil
		}
		l.open.Add(-1)
		_ = c.Close()
	}
}

type boundedConn struct {
	net.Conn
	open   *atomic.Int64
	closed atomic.Bool
}

func (c *boundedConn) Close() error {
	if !c.closed.Swap(true) {
		c.open.Add(-1)
	}
	return c.Conn.Close()
}

// commandCount is a hook that counts the commands of a client.
type commandCount struct{ n atomic.Int64 }

func (c *commandCount) DialHook(next redis.DialHook) redis.DialHook { return next }

func (c *commandCount) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c.n.Add(1)
		return next(ctx, cmd)
	}
}

func (c *commandCount) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		c.n.Add(int64(len(cmds)))
		return next(ctx, cmds)
	}
}

// rootCause returns the text of the innermost error.
func rootCause(err error) string {
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(err) {
		err = next
	}
	return plain(err.Error())
}
