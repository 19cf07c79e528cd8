// Dlock runs a command under a lock that all machines share, as flock does on one machine:
//
//	go install github.com/seed-3d5fec5c/baton/examples/dlock@latest
//	export REDIS_URL=redis://localhost:6379
//	dlock nightly -- ./report.sh
//
// The lock is on the server at REDIS_URL. There is no default: a lock on a server
// that nobody else uses would exclude nobody.
//
//	dlock [-w wait] [-ttl d] [-hold-at-least d] [-E code] NAME -- COMMAND …
//	dlock -lead [-ttl d] [-value text] NAME -- COMMAND …    while it leads an election
//	dlock -once [-every d] … NAME -- COMMAND …    unless it has succeeded before, or within -every
//	dlock -n permits … NAME -- COMMAND …    at most that many commands at once
//	dlock -shared … NAME -- COMMAND …       together with others that are -shared
//	dlock -exclusive … NAME -- COMMAND …    alone, where others are -shared
//	dlock ls [pattern]                      all locks and limiters, their holders and waiters
//	dlock inspect NAME                      the same for one NAME, in full
//	dlock watch NAME                        a line for each change, until Ctrl-C
//	dlock unlock -force [-yes] NAME         takes the lock away from its holder
//	dlock ui [-addr …] [-filter pattern]    a page that shows them all, live
//	dlock doctor                            what the server offers to locks, and what to change
//
// NAME is a key in Redis: a [mutex.Mutex], with -shared or -exclusive a [mutex.RWMutex]
// that is read or written, with -n a [semaphore.Weighted] of that size. A NAME is one of
// the three. With -lead it is a [mutex.Election], whose leader holds the Mutex. (To use a lock
// named ls, write "dlock ls -- COMMAND".)
//
// # The page
//
// dlock ui serves http://127.0.0.1:7070, which shows all keys, their holders and queues as they
// change, and each hold of a key in the last minute. It only reads, unless -allow-release is set:
// then the page can take a lock from its holder, with a token that dlock prints. Everybody who can
// reach -addr can read all names and labels.
//
// While a page is open, it costs Redis at most 200 Inspect requests per second, and SCAN in steps.
// For a few keys that is about 10 commands per second. The page also receives the messages of
// hand-overs, which Redis sends anyway. Among 10^6 keys, it finds a lock with waiters at once, and
// any other lock within about 20 s.
//
// # The command
//
// Its environment has DLOCK_NAME, DLOCK_TTL_MS, and DLOCK_FENCE: a number that is greater than that
// of every earlier hold (with -n, it is only different). The storage that the command writes to
// should reject a number smaller than the largest it has seen.
//
// The command has its own process group, and stdin. dlock passes SIGINT, SIGTERM, SIGHUP, SIGQUIT and
// SIGWINCH to the group, SIGUSR1 and SIGUSR2 to the command. On a terminal the command is in the
// foreground, so Ctrl-C reaches the command once, and not dlock. (The command begins with SIGTTOU
// ignored.) In a pipeline it gets the terminal when it first asks for it. Ctrl-Z stops dlock, too:
// the lock then ends after the TTL, and after that fg ends the command. Before the command has
// started, the first four signals end dlock, and what it has in Redis.
//
// When the command ends, the lock is released. With -hold-at-least, that is not before the given time
// has passed since the lock was acquired; a signal ends this time. Processes that the command leaves
// running are not under the lock, nor are those in another group, such as jobs of an interactive shell.
//
// # When the lock is lost
//
// The lock is renewed while the command runs. If renewals fail for too long, the group gets SIGTERM
// when a fifth of the lease is left, or 5 s if that is less, and SIGKILL before another process can
// get the lock. If Redis reports that the lock is gone, another process may have it already: SIGKILL
// follows SIGTERM after a hundredth of the TTL, at most 0.1 s. If Redis reports that only after the
// command has ended by itself, the exit status is 76 nevertheless. (A loss during -hold-at-least,
// after the command, does not count.)
//
// If dlock is killed, Linux kills the command too, but not the processes that the command has
// started. On other systems all of them run on. As process 1 of a container, dlock waits for orphaned
// processes while the command runs. If dlock is stopped (kill -STOP), nothing ends the command until
// dlock continues. Only the fence helps then.
//
// With -lead, dlock campaigns again after a loss, and runs the command again when it is elected, also
// after Redis was away. It ends when the command has ended by itself, or at a signal.
// README.md shows how to run it on Kubernetes.
//
// With -once, NAME is a [mutex.Once]. If it is done, dlock exits with 0 at once. If the command fails,
// or dlock dies, the Once is not done, and the next dlock runs its command, also one that waits.
//
// # Exit status
//
// That of the command, 128 + n if signal n has ended it (or dlock, while it waited), or
//
//	64   wrong usage, NAME is of another kind, or REDIS_URL is not set
//	69   Redis cannot be reached, or refuses, until -w is over: a read-only replica, a full memory
//	75   others had the lock until -w was over; -E sets another status
//	76   the lock was lost while the command ran, and dlock has ended the command (with -lead only
//	     if a signal came meanwhile, or the command had ended before the loss was known)
//	126  the command cannot be run
//	127  there is no such command
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

// A failure is an error with the status to exit with.
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

// run returns the status to exit with. What it has to say itself goes to stderr: stdout
// is the command's.
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

// subcommand reports which one is asked for. With "--" behind it, it is a NAME.
func subcommand(args []string) (string, bool) {
	if len(args) == 0 || len(args) > 1 && args[1] == "--" {
		return "", false
	}
	_, ok := subcommands[args[0]]
	return args[0], ok
}

// patience is how long Redis has to answer at first.
const patience = 5 * time.Second

// connect returns a client of the server at REDIS_URL, which answers.
func connect(ctx context.Context) (*redis.Client, error) {
	url := os.Getenv("REDIS_URL")
	if url == "" {
		return nil, fail(exitUsage, "REDIS_URL is not set, as in REDIS_URL=redis://localhost:6379. There is no default: a lock that nobody else sees excludes nobody")
	}
	o, err := redis.ParseURL(url)
	if err != nil {
		return nil, fail(exitUsage, "REDIS_URL: %w", err)
	}
	redis.SetLogger(silent{}) // what matters is in the errors
	rdb := redis.NewClient(o)
	if err := answers(ctx, rdb); err != nil {
		_ = rdb.Close() // it was of no use
		return nil, fail(exitUnavailable, "Redis at %s: %w", o.Addr, err)
	}
	return rdb, nil
}

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// answers returns why the server does not answer, nil if it does. The client would wait for
// an answer also when ctx has ended.
func answers(ctx context.Context, rdb *redis.Client) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	answer := make(chan error, 1)
	go func() { answer <- rdb.Ping(ctx).Err() }()
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return fmt.Errorf("no answer: %w", ctx.Err())
	}
}

// flags returns a set of flags that explains itself by the line.
func flags(name, line string) *flag.FlagSet {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.SetOutput(io.Discard) // what is wrong is said once, by run
	f.Usage = func() {
		fmt.Fprintf(os.Stderr, "usage: %s\n", line)
		f.SetOutput(os.Stderr)
		f.PrintDefaults()
		f.SetOutput(io.Discard)
	}
	return f
}
