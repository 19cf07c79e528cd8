package redisstore

import (
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// BenchmarkMutex says what a lock and an unlock that nobody else wants cost the server, beside
// SET NX PX and a script that compares and deletes. They come in pipelines, so that reading,
// writing and waking up are shared by many and hardly count.
func BenchmarkMutex(b *testing.B) {
	const pairs = 64
	compareAndDelete := &script{text: `if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0`}
	keys := func(i int) []any {
		names, err := siblings(mutexAt("key" + strconv.Itoa(i)))
		if err != nil {
			b.Fatal(err)
		}
		return names
	}
	const token = "baton:10000:host:12345:ABCDEFGHIJKLMNOP:1"
	for _, row := range []struct {
		name string
		pair func(pipe redis.Pipeliner, i int)
	}{
		{"the floor", func(pipe redis.Pipeliner, i int) {
			pipe.SetNX(b.Context(), "key"+strconv.Itoa(i), token, lockTTL)
			pipe.EvalSha(b.Context(), compareAndDelete.sha, []string{"key" + strconv.Itoa(i)}, token)
		}},
		{"begun only", func(pipe redis.Pipeliner, i int) { // scripts that do nothing, with the arguments of ours
			for _, args := range [][]any{{token, 10000, 0}, {token}} {
				_ = pipe.Process(b.Context(), nothing.command(b.Context(), "evalsha", nothing.sha, keys(i), args))
			}
		}},
		{"baton", func(pipe redis.Pipeliner, i int) {
			_ = pipe.Process(b.Context(), acquire.command(b.Context(), "evalsha", acquire.sha, keys(i), []any{token, 10000, 0}))
			_ = pipe.Process(b.Context(), release.command(b.Context(), "evalsha", release.sha, keys(i), []any{token}))
		}},
	} {
		b.Run(row.name, func(b *testing.B) {
			server := redistest.Start(b)
			rdb := server.Client(b)
			for _, s := range []*script{compareAndDelete, nothing, acquire, release} {
				s.sha = rdb.ScriptLoad(b.Context(), s.text).Val()
			}
			before, n := cpuTime(b, server), 0
			for b.Loop() {
				pipe := rdb.Pipeline()
				for i := range pairs {
					row.pair(pipe, i)
				}
				if _, err := pipe.Exec(b.Context()); err != nil {
					b.Fatal(err)
				}
				n += pairs
			}
			b.ReportMetric((cpuTime(b, server)-before)/float64(n), "µs-server/pair")
		})
	}
}

var nothing = &script{text: "return 1"}

// cpuTime is how many µs of processor time the server has used.
func cpuTime(b *testing.B, s *redistest.Server) (us float64) {
	info, _ := s.Do(b, "INFO", "cpu").(string)
	for line := range strings.SplitSeq(info, "\r\n") {
		name, value, _ := strings.Cut(line, ":")
		if name == "used_cpu_user" || name == "used_cpu_sys" {
			seconds, err := strconv.ParseFloat(value, 64)
			if err != nil {
				b.Fatal(err)
			}
			us += seconds * 1e6
		}
	}
	return us
}
