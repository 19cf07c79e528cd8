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

// runCommand runs the command under the lock, and returns its status.
func runCommand(args []string) (status int, err error) {
	c, err := parse(args)
	if err != nil {
		return 0, err
	}
	path, err := find(c.Command[0]) // before anybody waits for it
	if err != nil {
		return 0, err
	}
	signals := make(chan os.Signal, 16)
	defer signal.Stop(signals)
	for _, s := range passed {
		if !signal.Ignored(s) { // as by nohup: the command must ignore it too
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

// runOnce waits for the lock, and runs the command under it. It reports whether the lock was
// lost, so that a leader must campaign again.
func runOnce(rdb **redis.Client, c config, path string, signals chan os.Signal) (status int, again bool, err error) {
	h, err := heed(signals, func(ctx context.Context) (h *hold, err error) {
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
		release(h, exitCannotRun, signals) // nothing was done under it
		return 0, false, cannotRun(err)
	}
	status, again = guard(h, child, signals, c.TTL)
	if more := c.HoldAtLeast - time.Since(start); status != exitLost && more > 0 {
		linger(h, more, signals)
		release(h, status, signals) // a loss since then is reported, but the command had ended
		return status, again, nil
	}
	return release(h, status, signals), again, nil
}

// environment returns the environment of the command. It replaces the variables of an outer dlock,
// because many programs use the first of two values.
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

// release releases the lock, and returns the exit status: that of a loss, if Redis reports one that
// came before the end of the command. If Redis may not answer, or a signal has ended dlock, release
// waits a moment only, because the lock expires by itself.
func release(h *hold, status int, signals <-chan os.Signal) int {
	const moment = 100 * time.Millisecond
	h.status = status
	released := make(chan error, 1)
	go func() { released <- h.release() }()
	var late <-chan time.Time
	if status == exitLost {
		late = time.After(moment)
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
		case <-late:
			return status
		case s := <-signals:
			if ends(s) && late == nil {
				late = time.After(moment)
			}
		}
	}
}

// linger keeps the lock for d more, or until a signal ends dlock.
func linger(h *hold, d time.Duration, signals <-chan os.Signal) {
	for end := time.After(d); ; {
		select {
		case <-end:
			return
		case <-h.Done():
			return
		case s := <-signals:
			if ends(s) {
				return
			}
		}
	}
}

// find looks for the command as a shell does.
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
