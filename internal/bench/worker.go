//go:build unix

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// A job is what one worker process does.
type job struct {
	Task           string // solo, contend, again or visit
	System, Addr   string
	SharedMem      string // the file's name
	Goroutines     int
	OwnKeys        bool // each goroutine has a key of its own
	Reads          bool // one goroutine writes, the others read
	Limit          int  // maximum number of goroutines inside at once
	Clients        int  // number of clients of this process; 0 means 1
	Index          int  // number of this process in its row
	Hold, Duration time.Duration
}

// workerEnv makes the binary a worker. Its value is the job.
const workerEnv = "BATON_BENCH_WORKER"

// startTimeout limits a worker's start, and the time that it takes beyond its duration.
const startTimeout = 15 * time.Second

// runWorkers runs the job in n processes of this binary at the same time. It calls started when all are connected.
func runWorkers(n int, j job, started func()) *tally {
	ctx, kill := context.WithTimeout(context.Background(), 2*startTimeout+j.Duration)
	var ended sync.WaitGroup
	defer ended.Wait()
	defer kill()
	inputs, outputs := make([]*json.Encoder, n), make([]*json.Decoder, n)
	for j.Index = range n {
		cmd := exec.CommandContext(ctx, must(os.Executable()))
		cmd.Env = append(os.Environ(), workerEnv+"="+string(must(json.Marshal(j))))
		cmd.Stderr = os.Stderr
		stdin, stdout := must(cmd.StdinPipe()), must(cmd.StdoutPipe())
		check(cmd.Start())
		inputs[j.Index], outputs[j.Index] = json.NewEncoder(stdin), json.NewDecoder(stdout)
		ended.Go(func() {
			<-ctx.Done()
			_ = cmd.Wait() // the worker has already reported its results
		})
	}
	read := func(i int, v any) {
		if err := outputs[i].Decode(v); err != nil {
			panic(fmt.Errorf("worker %d has ended early: %w", i, err))
		}
	}
	var ready string
	for i := range n {
		read(i, &ready)
	}
	started()
	start := time.Now().Add(50 * time.Millisecond)
	for _, in := range inputs {
		check(in.Encode(start))
	}
	tallies := make([]tally, n)
	for i := range n {
		read(i, &tallies[i])
	}
	return merged(tallies)
}

// A worker is a process that does a job, with its clients.
type worker struct {
	job
	clients []client
	mem     *sharedMem
}

// runWorker does a worker's job, and does not return, in a process that runWorkers has started. The
// process writes "ready", reads the start time, and writes its tally. It ends when its parent ends,
// because that closes its stdin.
func runWorker() {
	text := os.Getenv(workerEnv)
	if text == "" {
		return
	}
	w := &worker{}
	check(json.Unmarshal([]byte(text), &w.job))
	sys, _ := systemNamed(w.System) // measure has found it
	for range max(w.Clients, 1) {
		w.clients = append(w.clients, sys.openWarm(w.Addr, fmt.Sprintf("warm-%d", os.Getpid())))
	}
	w.mem = openSharedMem(w.SharedMem)
	out := json.NewEncoder(os.Stdout)
	check(out.Encode("ready"))
	var start time.Time
	check(json.NewDecoder(os.Stdin).Decode(&start))
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	}()
	before := cpuTime()
	work := (*worker).again
	if w.Task == "contend" {
		work = (*worker).contend
	}
	all := work(w, start)
	all.CPU = cpuTime() - before
	check(out.Encode(all))
	os.Exit(0)
}

// cpuTime returns the CPU time of this process.
func cpuTime() time.Duration {
	var u syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// openWarm opens a client, and locks a few times, so that it is connected and the scripts are loaded.
func (s system) openWarm(addr, key string) client {
	c := s.open(addr)
	h := c.handle(key)
	for range 3 {
		check(h.lock(context.Background()))
		check(h.unlock())
	}
	return c
}

// sharedMem is memory that processes share outside Redis. It counts the workers inside independently
// of the lock.
type sharedMem struct {
	inside  atomic.Int32
	readers atomic.Int32
	clashes atomic.Int64
	total   int64 // if the limit is 1, guarded only by the lock under test
}

func openSharedMem(path string) *sharedMem {
	f := must(os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600))
	defer f.Close()
	size := int(unsafe.Sizeof(sharedMem{}))
	check(f.Truncate(int64(size)))
	mem := must(syscall.Mmap(int(f.Fd()), 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)) // a page
	return (*sharedMem)(unsafe.Pointer(&mem[0]))
}

// enter and leave enclose a critical section with at most limit workers.
func (a *sharedMem) enter(limit int) {
	if a.inside.Add(1) > int32(limit) || a.readers.Load() != 0 {
		a.clashes.Add(1)
	}
	if limit == 1 {
		a.total++
	}
}

func (a *sharedMem) leave() { a.inside.Add(-1) }

// read and done enclose a section that excludes only the sections of enter.
func (a *sharedMem) read() {
	a.readers.Add(1)
	if a.inside.Load() != 0 {
		a.clashes.Add(1)
	}
}

func (a *sharedMem) done() { a.readers.Add(-1) }
