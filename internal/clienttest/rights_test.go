package clienttest

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
	"github.com/seed-3d5fec5c/baton/semaphore"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

// TestRights uses all primitives as the user of the rule in redis.md. Redis logs denied commands.
func TestRights(t *testing.T) {
	t.Parallel()
	page := string(must(os.ReadFile("../docs/redis.md")))
	_, rule, _ := strings.Cut(page, "\nACL SETUSER ")
	rule, _, _ = strings.Cut(rule, "\n```")
	more := func(rights ...string) string { // the page must contain them too
		for _, right := range rights {
			if !strings.Contains(page, "`"+right+"`") {
				t.Errorf("redis.md does not contain %s", right)
			}
		}
		return " " + strings.Join(append(rights, "+wait", "+info"), " ")
	}
	name := strings.Fields(rule)[0]
	_, password, _ := strings.Cut(rule, " >")
	password = strings.Fields(password)[0]

	one, other, cluster := redistest.Start(t), redistest.Start(t), redistest.StartCluster(t, 2)
	var nodes []string
	for _, node := range cluster.Nodes {
		nodes = append(nodes, node.Addr())
	}
	for what, on := range map[string]struct {
		servers []*redistest.Server
		rights  string
		client  func() redis.UniversalClient
	}{
		"Server": {[]*redistest.Server{one}, more("+wait", "+info"), func() redis.UniversalClient {
			return redis.NewClient(&redis.Options{Addr: one.Addr(), Username: name, Password: password})
		}},
		"Database": {[]*redistest.Server{other}, more("+select"), func() redis.UniversalClient {
			return redis.NewClient(&redis.Options{Addr: other.Addr(), DB: 1, Username: name, Password: password})
		}},
		"Cluster": {cluster.Nodes, more("+cluster|slots +command", "+spublish +ssubscribe +sunsubscribe"), func() redis.UniversalClient {
			return redis.NewClusterClient(&redis.ClusterOptions{Addrs: nodes, Username: name, Password: password})
		}},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			for _, s := range on.servers {
				args := []any{"ACL", "SETUSER"}
				for word := range strings.FieldsSeq(rule + on.rights) {
					args = append(args, word)
				}
				s.Do(t, args...)
			}
			a, b := closed(t, on.client()), closed(t, on.client())
			sent := &requests{}
			b.AddHook(sent.hook())
			eachPrimitive(t, func(t *testing.T, name string) {
				key := "orders:" + name
				works(t, primitives[name](a, key, ttl), primitives[name](b, key, ttl), sent.of(key), true)
			})
			confirmed := mutex.New(a, "orders")
			confirmed.Replicas, confirmed.ReplicaTimeout = mutex.AllReplicas, time.Millisecond
			if _, err := confirmed.TryLockContext(t.Context()); !errors.Is(err, mutex.ErrUnconfirmed) || strings.Contains(err.Error(), "NOPERM") {
				t.Error(err)
			}
			if err := semaphore.NewWeighted(a, "orders:Weighted", 3).Resize(t.Context(), 4); err != nil {
				t.Error(err)
			}
			if _, err := waitgroup.New(a, "orders:WaitGroup").Inspect(t.Context()); err != nil {
				t.Error(err)
			}
			for _, s := range on.servers {
				for _, entry := range s.Do(t, "ACL", "LOG").([]any) {
					if text := fmt.Sprint(entry); !strings.Contains(text, "object:client|") { // go-redis sends it, but works without
						t.Error(text)
					}
				}
			}
		})
	}
}
