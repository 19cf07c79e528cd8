package redisstore

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/retry"
)

const (
	// maxUnbatched is how many commands may be in flight before others are
	// queued. With more, client and server spend more time a command.
	maxUnbatched = 2
	// maxBatch is how many commands a pipeline holds at most, so that the first
	// of many thousands does not wait for the last.
	maxBatch = 128
	// farRTT is the round trip from which queued commands do not wait for one in
	// flight: that would double their time.
	farRTT = 500 * time.Microsecond
	// queueTimeout is for how long the queue waits for what is in flight.
	queueTimeout = 2 * time.Millisecond
	// promptRTT is the longest round trip for which a caller's own goroutine
	// waits for the reply, promptTimeout how long it waits, and slowPeriod for
	// how long it does not try that again after it got no reply. With a timeout
	// below a few of Linux' timer ticks of 4 ms, each wait for a reply sets the
	// CPU's timer, which is expensive on a virtual machine (internal/bench/README.md).
	promptRTT     = time.Millisecond
	promptTimeout = 20 * time.Millisecond
	slowPeriod    = time.Second
	// sentTimeout is for how long a command that is in a pipeline waits for its
	// reply after its ctx has ended.
	sentTimeout = 5 * time.Millisecond
)

// A pipeliner sends the commands of a client to one server. While few commands
// are in flight, a command is sent at once, by itself, on its caller's goroutine.
// Others are queued; when a command in flight returns, all that are queued are
// sent as one pipeline. So a busy client spends fewer system calls a command.
type pipeliner struct {
	node    *redis.Client // of a cluster, as long as it has this client for the node
	process func(context.Context, redis.Cmder) error
	prompt  *promptHook               // nil: process may wait for a reply for long after its ctx has ended
	exec    func([]redis.Cmder) error // sends one pipeline; nil: commands are never queued

	confirmer *confirmer // nil if the commands may go to several servers

	renewing sync.Mutex // held while a renewal is sent by itself

	mu       sync.Mutex
	inflight int           // commands sent by themselves, and pipelines
	queue    []*queuedCmd  // in the order in which they came
	batches  int64         // pipelines sent
	watched  bool          // checkLater is going to look at the queue
	rtt      time.Duration // of a command sent by itself: near the shortest of late
	slow     time.Time     // until then, replies are not expected promptly
	renewals []renewal     // that wait to be sent
	renewers int           // goroutines that send them
}

// A queuedCmd is a command that waits for the next pipeline.
type queuedCmd struct {
	cmd  noRetryCmd
	done chan error // capacity 1; receives the command's error
}

// errSendAlone is the error of a command that its pipeline could not serve: it is to be
// sent by itself, by its caller. So a panic of the client reaches the caller that it concerns.
var errSendAlone = errors.New("to be sent without a pipeline")

// isPrompt reports whether replies are expected within a millisecond.
func (p *pipeliner) isPrompt() bool {
	if p.prompt == nil || !p.prompt.inUse.Load() {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rtt > 0 && p.rtt < promptRTT && (p.slow.IsZero() || time.Now().After(p.slow))
}

// send has the server execute the command. With prompt it waits for a reply for
// milliseconds only, and then returns [retry.ErrNoAnswer].
func (p *pipeliner) send(ctx context.Context, cmd noRetryCmd, prompt bool) error {
	p.mu.Lock()
	if p.inflight < maxUnbatched || p.exec == nil {
		p.inflight++
		p.mu.Unlock()
		return p.sendAlone(ctx, cmd, prompt)
	}
	q := &queuedCmd{cmd, make(chan error, 1)}
	p.queue = append(p.queue, q)
	switch {
	case p.rtt >= farRTT && len(p.queue) == 1:
		go p.flush()
	case !p.watched:
		p.watched = true
		p.checkLater()
	}
	p.mu.Unlock()
	err := p.await(ctx, q)
	if err == errSendAlone {
		p.mu.Lock()
		p.inflight++
		p.mu.Unlock()
		return p.sendAlone(ctx, cmd, prompt)
	}
	return err
}

// sendAlone sends a command by itself. The command counts as in flight already.
func (p *pipeliner) sendAlone(ctx context.Context, cmd noRetryCmd, prompt bool) (err error) {
	ctx, cancel := withTimer(ctx)
	defer cancel()
	sent := time.Now()
	var took time.Duration              // 0: no reply
	defer func() { p.returned(took) }() // after a panic, too
	if prompt {
		err = aloneError(cmd, p.process(ctx, promptCmd{cmd}))
	} else {
		err = aloneError(cmd, p.process(ctx, cmd))
	}
	switch {
	case err == nil || isReply(err):
		took = time.Since(sent)
	case errors.Is(err, errRedirected):
		return retry.ErrNoAnswer
	case prompt && time.Since(sent) >= promptTimeout:
		p.noteSlow()
		return retry.ErrNoAnswer
	}
	return err
}

// await waits for the pipeline of a queued command to return.
func (p *pipeliner) await(ctx context.Context, q *queuedCmd) error {
	select {
	case err := <-q.done:
		return err
	case <-ctx.Done():
	}
	if p.withdraw(q) {
		return ctx.Err()
	}
	timer := time.NewTimer(sentTimeout)
	defer timer.Stop()
	select {
	case err := <-q.done:
		return err
	case <-timer.C:
		return retry.ErrNoAnswer
	}
}

// withdraw takes a command from the queue, and reports whether it was there.
func (p *pipeliner) withdraw(q *queuedCmd) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.Index(p.queue, q)
	if i >= 0 {
		p.queue = slices.Delete(p.queue, i, i+1)
	}
	return i >= 0
}

// returned notes that a command sent by itself has returned, and sends what is queued.
func (p *pipeliner) returned(took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inflight--
	if took > 0 { // falls at once and rises slowly: load is not distance
		if p.rtt == 0 || took < p.rtt {
			p.rtt = took
		} else {
			p.rtt += (took - p.rtt) / 64
		}
	}
	if batch := p.nextBatch(); batch != nil {
		go p.sendBatches(batch)
	}
}

// noteSlow notes that a reply did not come promptly.
func (p *pipeliner) noteSlow() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.slow = time.Now().Add(slowPeriod)
}

// nextBatch takes commands from the queue, which count as one in flight. The
// pipeliner is locked.
func (p *pipeliner) nextBatch() []*queuedCmd {
	n := min(len(p.queue), maxBatch)
	if n == 0 {
		return nil
	}
	batch := p.queue[:n:n]
	p.queue = p.queue[n:]
	p.inflight++
	p.batches++
	return batch
}

// flush sends what is queued.
func (p *pipeliner) flush() {
	runtime.Gosched() // commands that are about to be queued come along
	p.mu.Lock()
	batch := p.nextBatch()
	p.mu.Unlock()
	p.sendBatches(batch)
}

// sendBatches sends a batch, and what was queued meanwhile, until nothing is.
func (p *pipeliner) sendBatches(batch []*queuedCmd) {
	for batch != nil {
		p.sendBatch(batch)
		runtime.Gosched() // the callers that it served may have the next command ready
		p.mu.Lock()
		p.inflight--
		batch = p.nextBatch()
		p.mu.Unlock()
	}
}

// checkLater sends the queue if nothing moves it: what is in flight may have got
// no reply, and must not keep the others.
func (p *pipeliner) checkLater() {
	before := p.batches
	time.AfterFunc(queueTimeout, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		switch {
		case len(p.queue) == 0:
			p.watched = false
			return
		case p.batches == before:
			go p.flush()
		}
		p.checkLater()
	})
}

// sendBatch sends a pipeline, and gives each command its error.
func (p *pipeliner) sendBatch(batch []*queuedCmd) {
	cmds := make([]redis.Cmder, len(batch))
	for i, q := range batch {
		cmds[i] = q.cmd
	}
	err := p.execute(cmds)
	for _, q := range batch {
		q.done <- batchedError(q.cmd, err)
	}
}

// execute sends a pipeline, and turns a panic of the client into an error.
func (p *pipeliner) execute(cmds []redis.Cmder) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = errSendAlone
		}
	}()
	return p.exec(cmds)
}

// aloneError returns the error of a command, err being what the client returned. A
// hook or a wrapper may return an error without a word of it on the command, or
// nothing at all.
func aloneError(cmd noRetryCmd, err error) error {
	switch {
	case err != nil:
		return err
	case cmd.Err() != nil:
		return cmd.Err()
	case cmd.Val() == nil:
		return errNoReply
	}
	return nil
}

// batchedError is aloneError of a command in a pipeline, where err may be that of another command.
func batchedError(cmd noRetryCmd, err error) error {
	if cmd.Err() == nil && cmd.Val() != nil {
		return nil
	}
	if cmd.Err() != nil && err != errSendAlone {
		return cmd.Err()
	}
	return aloneError(cmd, err)
}

var errNoReply = retry.Unknown(errors.New("the Redis client returned neither a reply nor an error"))

// isReply reports whether err is an error that the server has replied.
func isReply(err error) bool {
	var reply redis.Error
	return errors.As(err, &reply)
}
