package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

func TestMain(m *testing.M) {
	if os.Getenv(taskEnv) != "" { // a worker that a test's coordinator has started
		main()
		return
	}
	redistest.Main(m, map[string]func(){"halfway": halfway, "fanout": func() {
		os.Args = append(os.Args[:1], strings.Fields(os.Getenv("ARGS"))...)
		main()
	}})
}

func brief() config {
	return config{
		Key: "demo", TTL: time.Second, Jobs: 40, Workers: 3, Each: 3, Job: 250 * time.Millisecond, Kill: true,
	}
}

var (
	end  = regexp.MustCompile(`(?s)\n(\d+) jobs in [\d.]+ s: (\d+) finished, (\d+) abandoned\n.*told of (\d+) abandoned: ([\d.]+) s after the kill`)
	hand = regexp.MustCompile(`\nworker \d(?:, which was killed, had in hand| lost the task of) jobs? (.*)`)
	none = regexp.MustCompile(`\nnobody took jobs? (.*): `)
	late = regexp.MustCompile(`\n(\d+) finished, of .*, and the task was lost before Done`)
	stop = regexp.MustCompile(`\n(\d+) jobs: (\d+) finished, (\d+) abandoned, (\d+) not begun\n`)
)

func number(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// shows reads the summary of a run in which a worker was killed.
func shows(t *testing.T, out string) {
	t.Helper()
	defer func() {
		if t.Failed() {
			t.Log(out)
		}
	}()
	m := end.FindStringSubmatch(out)
	if m == nil {
		t.Fatal("it ends otherwise")
	}
	jobs, finished, abandoned, told := number(t, m[1]), number(t, m[2]), number(t, m[3]), number(t, m[4])
	if finished+abandoned != jobs || abandoned < 1 {
		t.Errorf("of %d jobs %d finished and %d were abandoned", jobs, finished, abandoned)
	}
	listed := 0
	for _, list := range []*regexp.Regexp{hand, none} {
		for _, m := range list.FindAllStringSubmatch(out, -1) {
			listed += len(strings.Split(m[1], ", "))
		}
	}
	if listed != abandoned {
		t.Errorf("%d jobs were abandoned, and %d are listed", abandoned, listed)
	}
	if m := late.FindStringSubmatch(out); m != nil {
		abandoned += number(t, m[1])
	}
	if told != abandoned {
		t.Errorf("told of %d, of %d", told, abandoned)
	}
	if after, err := strconv.ParseFloat(m[5], 64); err != nil || after < 0.3 || after > 30 {
		t.Errorf("who waited was told %v s after the kill: %v", after, err)
	}
}

func TestEmbedded(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), brief(), &out); err != nil {
		t.Error(err)
	}
	shows(t, out.String())
}

func TestServer(t *testing.T) {
	s := redistest.Start(t)
	p := redistest.Spawn(t, "fanout", "REDIS_URL="+s.URL(), "ARGS=-jobs 40 -workers 3 -each 3 -job 250ms -ttl 1s")
	out := rest(p)
	if err := p.Wait(); err != nil {
		t.Error(err)
	}
	shows(t, out)
	clean(t, s.Client(t))
}

// clean fails the test if the example has left keys, or a key that does not expire.
func clean(t *testing.T, rdb *redis.Client) {
	t.Helper()
	for _, key := range rdb.Keys(t.Context(), "*").Val() {
		if rdb.TTL(t.Context(), key).Val() <= 0 || strings.HasPrefix(key, "fanout-demo") {
			t.Errorf("it leaves %s", key)
		}
	}
}

// rest returns what the process writes from now on.
func rest(p *redistest.Worker) string {
	var out strings.Builder
	for line := range p.Lines() {
		out.WriteString(line + "\n")
	}
	return out.String()
}

// until returns when the process has written a line with the text.
func until(t *testing.T, p *redistest.Worker, text string) (line string) {
	t.Helper()
	for line := range p.Lines() {
		if strings.Contains(line, text) {
			return line
		}
	}
	t.Fatalf("it does not say %q", text)
	return ""
}

func TestSpared(t *testing.T) {
	c := brief()
	c.Kill, c.Job, c.TTL = false, 50*time.Millisecond, 10*time.Second
	var out bytes.Buffer
	if err := run(t.Context(), c, &out); err != nil {
		t.Error(err)
	}
	s := redistest.Start(t)
	p := redistest.Spawn(t, "fanout", "REDIS_URL="+s.URL(), "ARGS=-jobs 40 -job 50ms -ttl 10s -kill=false")
	lines := rest(p)
	if err := p.Wait(); err != nil {
		t.Error(err)
	}
	clean(t, s.Client(t))
	for _, out := range []string{out.String(), lines} {
		if !strings.Contains(out, " s: 40 finished, 0 abandoned\nthose who waited were told of 0 abandoned; no worker was killed\n") {
			t.Error(out)
		}
	}
}

// Ctrl-C ends it, with what the workers have in hand, and leaves nothing. So it does
// just after a worker was killed, when nobody has been told of that.
func TestInterrupt(t *testing.T) {
	for after, args := range map[string]string{
		" of 3000 done, in hand  1:3": "-jobs 3000 -job 100ms -kill=false",
		"is killed":                   "-jobs 30 -job 200ms",
	} {
		s := redistest.Start(t)
		p := redistest.Spawn(t, "fanout", "REDIS_URL="+s.URL(), "ARGS="+args)
		until(t, p, after)
		self, err := os.FindProcess(p.Pid())
		if err == nil {
			err = self.Signal(os.Interrupt)
		}
		if err != nil {
			t.Fatal(err)
		}
		out := rest(p)
		if err := p.Wait(); err != nil {
			t.Error(err)
		}
		m := stop.FindStringSubmatch(out)
		if m == nil || !strings.Contains(out, "interrupt") {
			t.Fatal(out)
		}
		if number(t, m[1]) != number(t, m[2])+number(t, m[3])+number(t, m[4]) || strings.Contains(args, "-kill=false") && m[3] != "0" {
			t.Error(out)
		}
		rdb := s.Client(t)
		clean(t, rdb)
		gone(t, rdb)
	}
}

// gone returns when only the test is connected to Redis, with two clients.
func gone(t *testing.T, rdb *redis.Client) {
	t.Helper()
	redistest.Eventually(t, 10*time.Second, func() bool {
		list, err := rdb.ClientList(t.Context()).Result()
		return err == nil && strings.Count(list, "id=") <= 2
	}, "the workers leave Redis")
}

// Its workers end with it, however it ends, and what it leaves expires.
func TestKilled(t *testing.T) {
	s := redistest.Start(t)
	p := redistest.Spawn(t, "fanout", "REDIS_URL="+s.URL(), "ARGS=-jobs 1000 -job 100ms -key k")
	until(t, p, " of 1000 done, in hand  1:3")
	until(t, p, " of 1000 done, in hand  1:3")
	p.Kill()
	rdb := s.Client(t)
	gone(t, rdb)
	if keys := rdb.Keys(t.Context(), "k:*").Val(); len(keys) < 2 {
		t.Error(keys)
	}
	clean(t, rdb)
}

// What waiting cannot cure ends the program.
func TestFails(t *testing.T) {
	c := brief()
	c.Key = "baton:{demo}"
	if err := run(t.Context(), c, io.Discard); err == nil || !strings.Contains(err.Error(), c.Key) {
		t.Error(err)
	}
	c = brief()
	c.URL = "http://nonsense"
	if err := run(t.Context(), c, io.Discard); err == nil || !strings.Contains(err.Error(), "REDIS_URL") {
		t.Error(err)
	}

	// A worker's failure is one of the whole: here it finds no job for a task.
	s := redistest.Start(t)
	p := redistest.Spawn(t, "fanout", "REDIS_URL="+s.URL(), "ARGS=-jobs 1000 -job 100ms -kill=false")
	until(t, p, " of 1000 done, in hand  1:3")
	rdb := s.Client(t)
	for _, key := range rdb.Keys(t.Context(), "*:waiting").Val() {
		rdb.Del(t.Context(), key)
	}
	out := rest(p)
	var exit *exec.ExitError
	if err := p.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 1 || !stop.MatchString(out) || !strings.Contains(out, "\nRedis knows nothing of ") {
		t.Errorf("%v\n%s", err, out)
	}
	clean(t, rdb)
}

// halfway is a worker that has come to a different point with each of its tasks.
func halfway() {
	o, err := redis.ParseURL(os.Getenv("URL"))
	if err != nil {
		panic(err)
	}
	rdb := redis.NewClient(o)
	wg, jobs, ctx := waitgroup.New(rdb, "k"), &queue{rdb, "k"}, context.Background()
	wg.TTL = time.Second
	for at := range 5 {
		task, err := wg.Join(ctx)
		job := ""
		if at > 0 && err == nil {
			job, err = jobs.take(ctx, 1)
		}
		if at > 1 && err == nil {
			err = jobs.write(ctx, job, "done")
		}
		if at > 2 && err == nil {
			err = task.Done()
		}
		if at > 3 && err == nil {
			err = jobs.clear(ctx, 1, job)
		}
		if err != nil {
			panic(err)
		}
	}
	fmt.Println("halfway")
	select {}
}

// Wherever a worker is when it is killed, the jobs say what the wait group does.
func TestHalfway(t *testing.T) {
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		wg, jobs, ctx := waitgroup.New(rdb, "k"), &queue{rdb, "k"}, t.Context()
		wg.Add(5)
		if err := jobs.put(ctx, 5); err != nil {
			t.Fatal(err)
		}
		p := redistest.Spawn(t, "halfway", "URL=redis://"+rdb.Options().Addr)
		until(t, p, "halfway")
		p.Kill()
		b, told := newBoard(brief(), io.Discard), wg.WaitContext(ctx)
		b.cfg.Jobs = 5
		var out strings.Builder
		b.out, b.victim = &out, 1
		l, err := jobs.audit(ctx, 3)
		if err == nil {
			err = b.summary(l, told)
		}
		if err != nil {
			t.Error(err)
		}
		for _, want := range []string{
			"3 finished, 2 abandoned\n", "worker 1, which was killed, had in hand job 1\n", "nobody took job 5: ",
			"\n1 finished, of jobs 2, 3, and the task was lost", "told of 3 abandoned: ",
		} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("it does not say %q:\n%s", want, out.String())
			}
		}
		if err := jobs.drop(ctx, 3); err != nil || len(rdb.Keys(ctx, "k*").Val()) > 0 {
			t.Error(err, rdb.Keys(ctx, "*"))
		}
	})
}

// The exit status tells if the wait group told of anything else.
func TestDisagree(t *testing.T) {
	l := ledger{finished: 36, dropped: [][]string{nil, {"1", "2"}, {"7"}}, waiting: []string{"40"}, unsaid: []string{"3"}}
	for tasks, ok := range map[int]bool{0: false, 3: false, 4: true, 5: true, 6: false} {
		b := newBoard(brief(), io.Discard)
		var told error
		if tasks > 0 {
			told = fmt.Errorf("wait: %w", &waitgroup.AbandonedError{Tasks: tasks})
		}
		if err := b.summary(l, told); (err == nil) != ok {
			t.Errorf("told of %d: %v", tasks, err)
		}
	}
	l.finished--
	if err := newBoard(brief(), io.Discard).summary(l, &waitgroup.AbandonedError{Tasks: 4}); err == nil {
		t.Error("a job may vanish")
	}
}

func TestFlags(t *testing.T) {
	for _, args := range []string{
		"-jobs 0", "-workers 1", "-workers 0 -kill=false", "-each 0", "-job 0s", "-key=", "-ttl 1ms", "-nonsense", "nonsense",
	} {
		var usage bytes.Buffer
		if _, err := parse(strings.Fields(args), &usage); err == nil || usage.Len() == 0 {
			t.Errorf("%s: %v, %q", args, err, usage.String())
		}
	}
	var exit *exec.ExitError
	if err := redistest.Spawn(t, "fanout", "ARGS=-workers 0").Wait(); !errors.As(err, &exit) || exit.ExitCode() != 2 {
		t.Error(err)
	}
	if err := redistest.Spawn(t, "fanout", "ARGS=-help").Wait(); err != nil {
		t.Error(err)
	}
}
