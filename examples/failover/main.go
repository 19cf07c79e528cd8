// Failover runs a scheduler in three processes. When the leader is killed, another takes over.
//
//	go run ./examples/failover
//
// The program starts a Redis in memory. With REDIS_URL set, it uses that server.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"time"

	"github.com/seed-3d5fec5c/baton/examples/internal/server"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// schedule must run in one process only. It returns when ctx is done.
func schedule(ctx context.Context, t *mutex.Term) error {
	fmt.Printf("process %d leads: term %d\n", os.Getpid(), t.Number())
	for ctx.Err() == nil && t.Err() == nil {
		fmt.Printf("process %d schedules a job\n", os.Getpid()) // storage should check the term's number
		time.Sleep(200 * time.Millisecond)
	}
	return nil
}

func newElection(redis *server.Server) *mutex.Election {
	e := mutex.NewElection(redis.Client, "failover-demo")
	e.TTL, e.Value = time.Second, fmt.Sprint(os.Getpid()) // usually an address
	return e
}

// kill starts three processes, and kills each leader. It returns when all processes have led.
func kill(ctx context.Context, redis *server.Server) error {
	processes := map[string]*exec.Cmd{}
	for range 3 {
		cmd := exec.CommandContext(ctx, os.Args[0])
		cmd.Env, cmd.Stdout = append(os.Environ(), "SCHEDULER=1", "REDIS_URL="+redis.URL), os.Stdout
		if err := cmd.Start(); err != nil {
			return err
		}
		processes[fmt.Sprint(cmd.Process.Pid)] = cmd
	}
	for leader := range newElection(redis).Observe(ctx) {
		if cmd := processes[leader.Value]; cmd != nil {
			time.Sleep(500 * time.Millisecond)
			fmt.Println("killing process", leader.Value)
			_ = cmd.Process.Kill()
			_ = cmd.Wait() // returns the error of the kill
			delete(processes, leader.Value)
			if len(processes) == 0 {
				return nil
			}
		}
	}
	return ctx.Err()
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	redis, err := server.Connect(ctx, os.Getenv("REDIS_URL"))
	if err != nil {
		log.Fatal(err)
	}
	defer redis.Close()
	if os.Getenv("SCHEDULER") != "" {
		err = newElection(redis).Lead(ctx, schedule)
	} else {
		err = kill(ctx, redis)
	}
	if stop(); err != nil {
		fmt.Println(err)
	}
}
