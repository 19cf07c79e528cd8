package main

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// A queue is the jobs in Redis. A job waits on a list; then it is in the hand of a
// worker, which is a list too, until its task is done; and before that its
// result is written, into a hash. So at every moment Redis knows who has it.
type queue struct {
	rdb redis.UniversalClient
	key string // of the wait group
}

// life is how long the keys are kept should nobody live to delete them.
const life = time.Hour

func (q *queue) waiting() string        { return q.key + ":waiting" }
func (q *queue) results() string        { return q.key + ":results" }
func (q *queue) hand(worker int) string { return fmt.Sprintf("%s:hand:%d", q.key, worker) }

// put puts the jobs on the list.
func (q *queue) put(ctx context.Context, jobs int) error {
	all := make([]any, jobs)
	for i := range all {
		all[i] = i + 1
	}
	_, err := q.rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.RPush(ctx, q.waiting(), all...)
		p.Expire(ctx, q.waiting(), life)
		return nil
	})
	return err
}

// take moves a job from the list into the hand of a worker. That is one step, so
// that a worker that is killed cannot make it vanish.
func (q *queue) take(ctx context.Context, worker int) (job string, err error) {
	var moved *redis.StringCmd
	_, err = q.rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
		moved = p.LMove(ctx, q.waiting(), q.hand(worker), "LEFT", "RIGHT")
		p.Expire(ctx, q.hand(worker), life)
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("take a job: %w", err)
	}
	return moved.Val(), nil
}

// write writes the result of a job.
func (q *queue) write(ctx context.Context, job, result string) error {
	_, err := q.rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.HSet(ctx, q.results(), job, result)
		p.Expire(ctx, q.results(), life)
		return nil
	})
	if err != nil {
		return fmt.Errorf("write the result of job %s: %w", job, err)
	}
	return nil
}

// clear takes a job out of the hand of a worker.
func (q *queue) clear(ctx context.Context, worker int, job string) error {
	if err := q.rdb.LRem(ctx, q.hand(worker), 1, job).Err(); err != nil {
		return fmt.Errorf("clear job %s: %w", job, err)
	}
	return nil
}

// count says how far the jobs are.
func (q *queue) count(ctx context.Context, workers int) (count, error) {
	var (
		done, waiting *redis.IntCmd
		hands         = make([]*redis.IntCmd, workers+1)
	)
	_, err := q.rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
		done, waiting = p.HLen(ctx, q.results()), p.LLen(ctx, q.waiting())
		for n := 1; n <= workers; n++ {
			hands[n] = p.LLen(ctx, q.hand(n))
		}
		return nil
	})
	if err != nil {
		return count{}, err
	}
	c := count{done: int(done.Val()), waiting: int(waiting.Val()), hands: make([]int, workers+1)}
	for n := 1; n <= workers; n++ {
		c.hands[n] = int(hands[n].Val())
	}
	return c, nil
}

// audit says what has become of each job.
func (q *queue) audit(ctx context.Context, workers int) (ledger, error) {
	results, err := q.rdb.HGetAll(ctx, q.results()).Result()
	if err != nil {
		return ledger{}, err
	}
	l := ledger{finished: len(results), dropped: make([][]string, workers+1)}
	if l.waiting, err = q.rdb.LRange(ctx, q.waiting(), 0, -1).Result(); err != nil {
		return l, err
	}
	for n := 1; n <= workers; n++ {
		hand, err := q.rdb.LRange(ctx, q.hand(n), 0, -1).Result()
		if err != nil {
			return l, err
		}
		for _, job := range hand {
			if _, ok := results[job]; ok {
				l.unsaid = append(l.unsaid, job)
			} else {
				l.dropped[n] = append(l.dropped[n], job)
			}
		}
	}
	return l, nil
}

// drop deletes it all, with the wait group.
func (q *queue) drop(ctx context.Context, workers int) error {
	keys := []string{q.key, q.waiting(), q.results()}
	for n := 1; n <= workers; n++ {
		keys = append(keys, q.hand(n))
	}
	return q.rdb.Del(ctx, keys...).Err()
}
