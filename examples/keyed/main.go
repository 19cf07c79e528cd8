// Keyed shows a lock for each of many keys: worker processes apply a stream of
// events to the accounts of a bank, each under the lock of its customer, and
// transfer money between two accounts under the locks of both.
//
//	go run ./examples/keyed
//
// needs no Redis, it brings one. It starts itself again as a few worker
// processes. The bank is not in Redis but in the first process, and a simple one:
// it hands out balances, stores what it is given in place of them, and refuses
// who comes with an older fence than it has seen. One worker is stopped between
// its reading and its writing, for longer than its lease lasts; what it writes
// when it goes on is refused. In the end the balances are added up. If money was
// lost, or made, the exit status is 1.
//
// With REDIS_URL=redis://localhost:6379 it uses that server.
//
// The code to copy is in teller.go, and for the fence bank.admit, in bank.go.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/seed-3d5fec5c/baton/examples/internal/server"
)

type config struct {
	URL       string // of Redis; empty for one of our own
	Prefix    string
	TTL       time.Duration
	Workers   int // processes
	Each      int // goroutines in each
	Customers int
	Length    time.Duration // of the whole
}

func main() {
	if told := os.Getenv(taskEnv); told != "" { // this is one of the workers
		if err := work(told); err != nil {
			fmt.Fprintln(os.Stderr, "keyed: worker:", err)
			os.Exit(1)
		}
		return
	}
	cfg, err := parse(os.Args[1:], os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return
	case err != nil:
		os.Exit(2)
	}
	cfg.URL = os.Getenv("REDIS_URL")

	ctx, restore := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, restore) // a second Ctrl-C kills
	if err := run(ctx, cfg, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "keyed:", err)
		os.Exit(1)
	}
}

// run runs the demonstration until its time is over or ctx ends, which is no
// error. It is one if a worker failed, or if money was lost.
func run(ctx context.Context, cfg config, out io.Writer) error {
	redis, err := server.Connect(ctx, cfg.URL)
	if err != nil {
		return err
	}
	defer redis.Close()
	cfg.URL = redis.URL

	fmt.Fprintf(out, "%d workers, %d customers, locks %q on %s\n", cfg.Workers, cfg.Customers, cfg.Prefix+"…", redis.Name)
	b := newBank(cfg.Customers)
	o := newOffice(ctx, cfg, b, out)
	err = o.open()
	return errors.Join(b.summary(out), err)
}

func parse(args []string, usage io.Writer) (cfg config, err error) {
	f := flag.NewFlagSet("keyed", flag.ContinueOnError)
	f.SetOutput(usage)
	f.IntVar(&cfg.Workers, "workers", 3, "how many `processes` there are")
	f.IntVar(&cfg.Each, "each", 4, "how many `goroutines` each of them has")
	f.IntVar(&cfg.Customers, "customers", 6, "how many `accounts` there are")
	f.DurationVar(&cfg.Length, "for", 5*time.Second, "how long all this lasts")
	f.StringVar(&cfg.Prefix, "prefix", "keyed-demo:", "how the locks' `keys` in Redis begin")
	f.DurationVar(&cfg.TTL, "ttl", time.Second, "how long Redis keeps the locks of a process that stands still")
	if err := f.Parse(args); err != nil {
		return cfg, err // Parse has said why
	}
	switch {
	case f.NArg() > 0:
		err = fmt.Errorf("there is no argument %q", f.Arg(0))
	case cfg.Workers < 2:
		err = fmt.Errorf("-workers %d: one is going to be stopped, it takes another", cfg.Workers)
	case cfg.Each < 1:
		err = fmt.Errorf("-each %d: it takes at least one", cfg.Each)
	case cfg.Customers < 2:
		err = fmt.Errorf("-customers %d: it takes two to transfer something", cfg.Customers)
	case cfg.Length <= 0:
		err = fmt.Errorf("-for %v: it takes some time", cfg.Length)
	case cfg.TTL < 10*time.Millisecond:
		err = fmt.Errorf("-ttl %v: it takes at least 10ms", cfg.TTL)
	}
	if err != nil {
		fmt.Fprintln(usage, "keyed:", err)
	}
	return cfg, err
}
