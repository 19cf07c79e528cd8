package redisstore

import (
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// BenchmarkHandOver measures the server's processor time for a hand-over among sixteen processes: a
// release, and a request that queues again. It runs the fast and the slow paths.
func BenchmarkHandOver(b *testing.B) {
	const processes = 16
	keys, err := keysFor(mutexAt("key"))
	if err != nil {
		b.Fatal(err)
	}
	token := func(i int) string {
		return "baton:10000:host:12345:ABCDEFGHIJKLMN" + strconv.Itoa(10+i%processes) + ":1"
	}
	channel := func(i int) string { return "baton:ABCDEFGHIJKLMN" + strconv.Itoa(10+i%processes) }
	for _, path := range []struct {
		name             string
		acquire, release *script
	}{{"fast", mutexAcquire, mutexRelease}, {"slow", slowAcquire, slowRelease}} {
		b.Run(path.name, func(b *testing.B) {
			server := redistest.Start(b)
			rdb := server.Client(b)
			for _, s := range []*script{path.acquire, path.release} {
				if err := rdb.ScriptLoad(b.Context(), s.text).Err(); err != nil {
					b.Fatal(err)
				}
			}
			request := func(pipe redis.Pipeliner, i int) {
				args := []any{token(i), 10000, i + 1, 3600, channel(i), "key"}
				_ = pipe.Process(b.Context(), path.acquire.command(b.Context(), "evalsha", path.acquire.sha, keys, args))
			}
			send := func(do func(pipe redis.Pipeliner)) {
				pipe := rdb.Pipeline()
				do(pipe)
				if _, err := pipe.Exec(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			send(func(pipe redis.Pipeliner) {
				for i := range processes {
					request(pipe, i)
				}
			})
			before, n := cpuTime(b, server), 0
			for b.Loop() {
				send(func(pipe redis.Pipeliner) {
					for range 4 * processes {
						_ = pipe.Process(b.Context(), path.release.command(b.Context(), "evalsha", path.release.sha, keys, []any{token(n)}))
						request(pipe, n)
						n++
					}
				})
			}
			if owner := rdb.Get(b.Context(), "key").Val(); owner != token(n) {
				b.Errorf("owner: %s, want %s", owner, token(n))
			}
			b.ReportMetric((cpuTime(b, server)-before)/float64(n), "µs-server/hold")
		})
	}
}

// cpuTime returns how many µs of processor time the server has used.
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
