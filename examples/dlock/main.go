// Dlock runs a command under a lock that all machines share, as flock(1) does on one machine:
//
//	go install github.com/seed-3d5fec5c/baton/examples/dlock@latest
//	export REDIS_URL=redis://localhost:6379
//	dlock nightly -- ./report.sh
//
// The lock is on the server at REDIS_URL. There is no default, because all machines must use the same
// server.
//
//	dlock [-w wait] [-ttl d] [-hold-at-least d] [-E code] NAME -- COMMAND …
//	dlock -lead [-ttl d] [-value text] NAME -- COMMAND …    run while leading an election
//	dlock -once [-every d] … NAME -- COMMAND …    unless it has already succeeded, or within -every
//	dlock -n permits … NAME -- COMMAND …    at most this many commands at once
//	dlock -shared … NAME -- COMMAND …       together with other -shared commands
//	dlock -exclusive … NAME -- COMMAND …    alone, while no -shared command runs
//	dlock ls [pattern]                      list all locks and limiters, their holders and waiters
//	dlock inspect NAME                      show one NAME in full
//	dlock watch NAME                        print a line for each change, until Ctrl-C
//	dlock unlock -force [-yes] NAME         release the lock without its holder
//	dlock ui [-addr …] [-filter pattern]    serve a live page of all locks
//	dlock doctor                            check the server, and recommend changes
//
// NAME is a key in Redis. By default it is a [mutex.Mutex]. With -shared or -exclusive it is a
// [mutex.RWMutex], and with -n a [semaphore.Weighted] of that size. With -lead it is a
// [mutex.Election], whose leader holds the Mutex. A NAME has one kind. (To use a lock named ls, write
// "dlock ls -- COMMAND".)
//
// # The page
//
// dlock ui serves http://127.0.0.1:7070. The page shows all keys, their holders and queues as they
// change. For one key, it also shows the holds of the last minute. The page is read-only, unless
// -allow-release is set. Then the page can release a lock without its holder, with a token that dlock
// prints. Every client that can reach -addr can read all names and labels.
//
// While a page is open, it costs Redis at most 200 Inspect requests per second, and SCAN in steps.
// For a few keys, this is about 10 commands per second. The page also receives the messages of
// hand-overs, which Redis sends anyway. Among 10^6 keys, the page shows a lock with waiters at once,
// and any other lock within about 20 s.
//
// # The command
//
// The command's environment has DLOCK_NAME, DLOCK_TTL_MS and DLOCK_FENCE. The fence is greater than
// the fence of every earlier hold. (With -n, it is only different.) The storage that the command
// writes to should reject a fence smaller than the largest it has seen.
//
// The command has its own process group, and dlock's stdin. dlock passes SIGINT, SIGTERM, SIGHUP,
// SIGQUIT and SIGWINCH to the group, and SIGUSR1 and SIGUSR2 to the command. On a terminal, the command
// is in the foreground, so Ctrl-C reaches the command once, and not dlock. (The command starts with
// SIGTTOU ignored.) In a pipeline, the command gets the terminal when it first reads from it. Ctrl-Z
// also stops dlock. The lock then expires after the TTL, and after that fg ends the command. Before the
// command starts, the first four signals end dlock, which then leaves the queue.
//
// When the command ends, the lock is released. With -hold-at-least, dlock holds the lock for at least
// the given time; a signal ends this time. Processes that the command leaves running are not under
// the lock. Neither are processes of another group, such as jobs of an interactive shell.
//
// # When the lock is lost
//
// dlock renews the lock while the command runs. If renewals fail for too long, the group gets SIGTERM
// when a fifth of the lease is left, or 5 s if that is less. It gets SIGKILL before another process
// can get the lock. If Redis reports that the lock is gone, another process may already have it:
// SIGKILL follows SIGTERM after a hundredth of the TTL, at most 0.1 s. If Redis reports the loss only
// after the command has ended, the exit status is still 76. (A loss during -hold-at-least, after the
// command, does not count.)
//
// If dlock is killed, Linux also kills the command, but not the processes that the command has
// started. On other systems, the command also continues. As process 1 of a container, dlock waits for
// orphaned processes while the command runs. If dlock is stopped (kill -STOP), nothing ends the command
// until dlock continues. Only the fence protects the data then.
//
// With -lead, dlock campaigns again after a loss, and runs the command again when it is elected, also
// after an outage of Redis. dlock ends when the command ends by itself, or at a signal. README.md
// shows how to run it on Kubernetes.
//
// With -once, NAME is a [mutex.Once]. If it is done, dlock exits with 0 at once. If the command fails
// or dlock dies, the Once is not done. The next dlock then runs its command, also if it is waiting.
//
// # Exit status
//
// The exit status is that of the command. It is 128 + n if signal n has ended the command, or dlock
// before the command started. Other statuses are:
//
//	64   wrong usage, NAME has another kind, or REDIS_URL is not set
//	69   Redis is unreachable or refuses until -w has passed: a read-only replica, a full memory
//	75   the lock was not acquired within -w; -E sets another status
//	76   the lock was lost while the command ran, and dlock has ended the command (with -lead only
//	     after a signal, or if the command ended before the loss was known)
//	126  the command cannot be executed
//	127  the command is not found
//
// The code to copy is in hold.go and guard.go.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	exitUsage       = 64
	exitUnavailable = 69
	exitNotAcquired = 75
	exitLost        = 76
	exitCannotRun   = 126
	exitNotFound    = 127
)

// A failure is an error with an exit status.
type failure struct {
	status int
	err    error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func fail(status int, format string, args ...any) error {
	return &failure{status, fmt.Errorf(format, args...)}
}

func main() { os.Exit(run(os.Args[1:])) }

// run returns the exit status. It prints its own messages to stderr, because stdout belongs to the
// command.
func run(args []string) int {
	var err error
	status := 0
	if name, ok := subcommand(args); ok {
		err = subcommands[name](args[1:])
	} else {
		status, err = runCommand(args)
	}
	if err == nil {
		return status
	}
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	fmt.Fprintln(os.Stderr, "dlock:", err)
	var f *failure
	if errors.As(err, &f) {
		return f.status
	}
	return exitUnavailable
}

var subcommands = map[string]func(args []string) error{"ls": list, "inspect": inspect, "watch": watch, "unlock": unlock, "doctor": doctor, "ui": ui}

// subcommand returns the subcommand in args, if any. A word before "--" is a NAME.
func subcommand(args []string) (string, bool) {
	if len(args) == 0 || len(args) > 1 && args[1] == "--" {
		return "", false
	}
	_, ok := subcommands[args[0]]
	return args[0], ok
}

// connectTimeout limits the first request to Redis.
const connectTimeout = 5 * time.Second

// connect returns a client of the server at REDIS_URL, after a first reply.
func connect(ctx context.Context) (*redis.Client, error) {
	url := os.Getenv("REDIS_URL")
	if url == "" {
		return nil, fail(exitUsage, "REDIS_URL is not set; example: REDIS_URL=redis://localhost:6379 (there is no default, because all processes must use the same server)")
	}
	o, err := redis.ParseURL(url)
	if err != nil {
		return nil, fail(exitUsage, "REDIS_URL: %w", err)
	}
	redis.SetLogger(silent{}) // the errors contain what matters
	rdb := redis.NewClient(o)
	if err := answers(ctx, rdb); err != nil {
		_ = rdb.Close() // the connection error is returned
		return nil, fail(exitUnavailable, "Redis at %s: %w", o.Addr, err)
	}
	return rdb, nil
}

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// answers returns nil if the server replies, and the reason otherwise. It returns when ctx is done;
// the client itself would wait longer.
func answers(ctx context.Context, rdb *redis.Client) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	answer := make(chan error, 1)
	go func() { answer <- rdb.Ping(ctx).Err() }()
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return fmt.Errorf("no reply: %w", ctx.Err())
	}
}

// flags returns a flag set whose help starts with the usage line.
func flags(name, line string) *flag.FlagSet {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.SetOutput(io.Discard) // run prints errors
	f.Usage = func() {
		fmt.Fprintf(os.Stderr, "usage: %s\n", line)
		f.SetOutput(os.Stderr)
		f.PrintDefaults()
		f.SetOutput(io.Discard)
	}
	return f
}

// parseArgs parses the arguments of a subcommand. The first is required if least is 1.
func parseArgs(f *flag.FlagSet, args []string, least, most int) error {
	err := f.Parse(args)
	switch n := f.NArg(); {
	case errors.Is(err, flag.ErrHelp):
		return err
	case err != nil:
		return fail(exitUsage, "%w; see dlock %s -h", err, f.Name())
	case n < least, n > most, n > 0 && f.Arg(0) == "":
		return fail(exitUsage, "wrong arguments; see dlock %s -h", f.Name())
	}
	return nil
}
