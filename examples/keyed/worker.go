package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/rpc"
	"os"
	"os/signal"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/mutex"
)

// taskEnv is the config, to a worker.
const taskEnv = "KEYED_TASK"

// work is a worker process: it speaks with the bank on stdin and stdout.
func work(told string) error {
	var cfg config
	if err := json.Unmarshal([]byte(told), &cfg); err != nil {
		return err
	}
	o, err := redis.ParseURL(cfg.URL)
	if err != nil {
		return err
	}
	rdb := redis.NewClient(o)
	defer rdb.Close()
	accounts := mutex.NewPool(rdb, cfg.Prefix)
	accounts.TTL = cfg.TTL

	// Ctrl-C reaches all processes of a terminal. To end the workers is for the one
	// that started them: it asks for no more.
	signal.Ignore(os.Interrupt)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	bank := rpc.NewClient(line{cancel})
	defer bank.Close()

	var (
		t    = &teller{accounts, bank}
		wg   sync.WaitGroup
		errs = make([]error, cfg.Each)
	)
	for i := range errs {
		wg.Go(func() {
			if errs[i] = t.serve(ctx); errs[i] != nil {
				cancel() // the others end with it
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// A line is that to the bank. If it is cut, the bank's process is gone, and
// nothing is to be waited for any more.
type line struct{ cut func() }

func (l line) Read(p []byte) (int, error) {
	n, err := os.Stdin.Read(p)
	if err != nil {
		l.cut()
	}
	return n, err
}

func (l line) Write(p []byte) (int, error) { return os.Stdout.Write(p) }
func (l line) Close() error                { return errors.Join(os.Stdout.Close(), os.Stdin.Close()) }
