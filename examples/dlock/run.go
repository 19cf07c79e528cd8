package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/mutex"
)

// runCommand runs the command under the lock, and returns the exit status.
func runCommand(args []string) (status int, err error) {
	c, err := parse(args)
	if err != nil {
		return 0, err
	}
	path, err := find(c.Command[0]) // before waiting for the lock
	if err != nil {
		return 0, err
	}
	signals := make(chan os.Signal, 16)
	defer signal.Stop(signals)
	for _, s := range forwarded {
		if !signal.Ignored(s) { // under nohup, the command must ignore SIGHUP too
			signal.Notify(signals, s)
		}
	}
	var rdb *redis.Client
	defer func() {
		if rdb != nil {
			rdb.Close()
		}
	}()
	for again := true; again; again = again && c.Lead {
		status, again, err = runOnce(&rdb, c, path, signals)
	}
	return status, err
}

// runOnce waits for the lock, and runs the command under the lock. It reports whether the lock was
// lost, so that a leader must campaign again.
func runOnce(rdb **redis.Client, c config, path string, signals chan os.Signal) (status int, again bool, err error) {
	h, err := cancelOnSignal(signals, func(ctx context.Context) (h *hold, err error) {
		if *rdb == nil {
			*rdb, err = connect(ctx)
		}
		if err == nil {
			h, err = await(ctx, *rdb, c)
		}
		return h, err
	})
	if errors.Is(err, errDone) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	start := time.Now()
	child, err := startChild(path, c.Command, environment(os.Environ(), c, h.Fence()), signals)
	if err != nil {
		release(h, exitCannotRun, signals) // the command did not run
		return 0, false, cannotRun(err)
	}
	status, again = guard(h, child, signals, c.TTL)
	if more := c.HoldAtLeast - time.Since(start); status != exitLost && more > 0 {
		extendHold(h, more, signals)
		release(h, status, signals) // a later loss is printed, but does not change the status
		return status, again, nil
	}
	return release(h, status, signals), again, nil
}

// environment returns the environment of the command. It removes the variables of an outer dlock,
// because many programs use the first of two equal names.
func environment(env []string, c config, fence int64) []string {
	ours := []string{
		"DLOCK_NAME=" + c.Name,
		"DLOCK_FENCE=" + strconv.FormatInt(fence, 10),
		"DLOCK_TTL_MS=" + strconv.FormatInt(c.TTL.Milliseconds(), 10),
	}
	return append(slices.DeleteFunc(env, func(theirs string) bool {
		name, _, _ := strings.Cut(theirs, "=")
		return slices.ContainsFunc(ours, func(s string) bool { return strings.HasPrefix(s, name+"=") })
	}), ours...)
}

// release releases the lock, and returns the exit status: exitLost if Redis reports that the lock was
// lost. After a loss or a signal, release waits for at most releaseTimeout, because the lock expires
// by itself.
func release(h *hold, status int, signals <-chan os.Signal) int {
	const releaseTimeout = 100 * time.Millisecond
	h.status = status
	released := make(chan error, 1)
	go func() { released <- h.release() }()
	var timeout <-chan time.Time
	if status == exitLost {
		timeout = time.After(releaseTimeout)
	}
	for {
		select {
		case err := <-released:
			if err == nil || status == exitLost {
				return status
			}
			fmt.Fprintln(os.Stderr, "dlock:", err)
			if errors.Is(err, mutex.ErrLost) {
				return exitLost
			}
			return status
		case <-timeout:
			return status
		case s := <-signals:
			if terminates(s) && timeout == nil {
				timeout = time.After(releaseTimeout)
			}
		}
	}
}

// extendHold holds the lock for d more, or until a signal ends dlock.
func extendHold(h *hold, d time.Duration, signals <-chan os.Signal) {
	for end := time.After(d); ; {
		select {
		case <-end:
			return
		case <-h.Done():
			return
		case s := <-signals:
			if terminates(s) {
				return
			}
		}
	}
}

// find looks up the command as a shell does.
func find(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil && !errors.Is(err, exec.ErrDot) {
		return "", cannotRun(err)
	}
	return path, nil
}

func cannotRun(err error) error {
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
		return fail(exitNotFound, "%w", err)
	}
	return fail(exitCannotRun, "%w", err)
}

// statusOf returns the exit status that a shell reports for a process that the signal has ended.
func statusOf(s os.Signal) int {
	if n, ok := s.(syscall.Signal); ok {
		return 128 + int(n)
	}
	return 1
}
