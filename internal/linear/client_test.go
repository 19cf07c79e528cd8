package linear

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/mutex"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

// plan is what a client process is told.
type plan struct {
	Addr, Journal string
	TTL           time.Duration
	Seed          uint64
	Process       int
}

// planEnv is where it finds that.
const planEnv = "LINEAR_PLAN"

const (
	processes = 4
	permits   = 10 // of a semaphore
	smallest  = 3  // size that s1 is given
)

// keys are those of a server. The first letter tells what is there. Those that
// end in 2 are only tried, so that nobody ever waits who could be the reason of a
// false answer; s1 is resized all the time.
var keys = []string{"m0", "m1", "m2", "r0", "r1", "r2", "s0", "s1", "s2"}

func onlyTried(key string) bool { return key[1] == '2' }

// clients is how many goroutines of a process are at work on a key. Alone, one
// meets nothing of what happens inside a process.
func clients(key string) int {
	if key == "r2" && !triesToReadSeeWriters || key == "s1" && !resizeIsPrompt || key == "s2" && !releaseIsPrompt {
		return 1
	}
	return 2
}

// client is one goroutine of a client process, at work on one key.
type client struct {
	*process
	id     int
	key    string
	random *rand.Rand
	ask    func(context.Context, want) (grip, error)
}

// process is what the clients of a process share.
type process struct {
	plan
	pen    pen
	serial atomic.Int64
	keep   atomic.Bool // the next hold on each key that ends in 0 is to be kept
	kept   sync.Map    // these keys
	ctx    context.Context
}

// work is a client process. It works until its input says "stop" or ends. After
// "keep" it keeps what it gets next, says so, and does not let go of it before the
// hold is lost.
func work() {
	p := &process{}
	must(json.Unmarshal([]byte(os.Getenv(planEnv)), &p.plan))
	file, err := os.OpenFile(p.Journal, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	must(err)
	p.pen = pen{file}
	rdb := redis.NewClient(&redis.Options{Addr: p.Addr})
	ctx, stop := context.WithCancel(context.Background())
	p.ctx = ctx
	var all sync.WaitGroup
	for k, key := range keys {
		ask := open(rdb, key, p.TTL)
		for g := range clients(key) {
			id := (p.Process*len(keys)+k)*2 + g
			c := &client{p, id, key, rand.New(rand.NewPCG(p.Seed, uint64(id))), ask}
			all.Go(c.run)
		}
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan() && in.Text() != "stop"; {
		p.keep.Store(true)
	}
	stop()
	all.Wait()
	must(rdb.Close())
}

func (c *client) run() {
	pause := 15 * time.Millisecond
	if onlyTried(c.key) { // so that now and then a try meets no other
		pause = 40 * time.Millisecond
	}
	for c.ctx.Err() == nil {
		if g, id, ok := c.acquire(c.choose()); ok {
			keep := false
			if c.key[1] == '0' && c.keep.Load() {
				_, had := c.kept.LoadOrStore(c.key, true)
				keep = !had
			}
			if keep {
				fmt.Println(c.key)
			}
			c.hold(g, id, keep)
		}
		c.sleep(pause)
	}
}

// sleep takes at most d.
func (c *client) sleep(d time.Duration) { time.Sleep(time.Duration(c.random.Int64N(int64(d)))) }

// choose says what to ask for next.
func (c *client) choose() want {
	w := want{Try: onlyTried(c.key) || c.random.IntN(5) == 0, Chan: c.random.IntN(6) == 0}
	switch c.key[0] {
	case 'r':
		w.Shared = c.random.IntN(3) > 0
	case 's':
		w.N = 1 + c.random.Int64N(permits*6/10)
	}
	return w
}

// acquire makes the request, and some do not wait for long.
func (c *client) acquire(w want) (g grip, id int64, ok bool) {
	ctx, cancel := c.ctx, func() {}
	if !w.Try && c.random.IntN(8) == 0 {
		ctx, cancel = context.WithTimeout(ctx, time.Duration(c.random.Int64N(int64(20*time.Millisecond))))
	}
	defer cancel()
	id = int64(c.Process)<<40 | c.serial.Add(1)
	c.pen.write(event{What: asked, Hold: id, Client: c.id, Key: c.key, Request: &w, T: now()})
	g, err := c.ask(ctx, w)
	e := event{What: answered, Hold: id, T: now(), Fence: g.fence}
	e.Result, e.Err = outcome(err)
	c.pen.write(e)
	return g, id, err == nil
}

// hold has the hold for a while, and releases it.
func (c *client) hold(g grip, id int64, keep bool) {
	ok := c.believes(g, id)
	if onlyTried(c.key) {
		c.sleep(20 * time.Millisecond)
		ok = ok && c.believes(g, id)
	} else if c.random.IntN(2) == 0 {
		c.sleep(3 * time.Millisecond)
		ok = ok && c.believes(g, id)
	}
	for keep && ok && c.ctx.Err() == nil {
		time.Sleep(2 * time.Millisecond)
		ok = c.believes(g, id)
	}
	c.pen.write(event{What: release, Hold: id, T: now()})
	err := g.release()
	e := event{What: released, Hold: id, T: now()}
	e.Result, e.Err = outcome(err)
	c.pen.write(e)
}

// believes writes down whether the hold is believed in.
func (c *client) believes(g grip, id int64) bool {
	e := event{What: believed, Hold: id, T: now()}
	err := g.err()
	if err != nil {
		e.What, e.T = told, now()
		e.Result, e.Err = outcome(err)
	}
	c.pen.write(e)
	return err == nil
}

func outcome(err error) (Result, string) {
	switch {
	case err == nil:
		return OK, ""
	case errors.Is(err, mutex.ErrLocked):
		return Locked, ""
	case errors.Is(err, mutex.ErrLost):
		return Lost, ""
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return Failed, err.Error()
	case errors.Is(err, semaphore.ErrSize):
		return Size, err.Error()
	}
	return Failed, err.Error()
}
