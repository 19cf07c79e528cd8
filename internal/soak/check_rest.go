package main

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// queues matches keys that exist only while a process waits.
var queues = regexp.MustCompile(`^baton:\{.*\}:(queue|waiters)`)

// checkQuiescence checks that the workers leave no locks, queue entries, subscriptions and connections,
// after at most a TTL or the lifetime of an entry. All other keys must expire.
func (tr *testRun) checkQuiescence() (leaks []violation) {
	var leftovers []string
	within := 3*tr.ttl + 3600*time.Millisecond + slack
	if !eventually(within, func() bool { leftovers = tr.leftovers(); return len(leftovers) == 0 }) {
		leaks = append(leaks, violated("leak", "%v after the end of all workers: %s", within, strings.Join(leftovers, "; ")))
	}
	return leaks
}

// leftovers returns descriptions of everything that should be gone.
func (tr *testRun) leftovers() (list []string) {
	for i, n := range tr.topology.masters() {
		for _, name := range n.names() {
			switch ttl := n.do("PTTL", name).(int64); {
			case ttl == -1:
				list = append(list, fmt.Sprintf("%q never expires", name))
			case queues.MatchString(name):
				list = append(list, fmt.Sprintf("%q still exists", name))
			case len(name) == 2 && strings.Contains("mpeof", name[:1]):
				list = append(list, fmt.Sprintf("%q is still locked", name))
			}
		}
		if channels := n.do("PUBSUB", "CHANNELS", "baton:*").([]any); len(channels) > 0 {
			list = append(list, fmt.Sprintf("subscriptions to %v", channels))
		}
		if c, _ := strconv.Atoi(n.info("connected_clients")); c > tr.clients[i] {
			list = append(list, fmt.Sprintf("%d connections, %d at the start", c, tr.clients[i]))
		}
	}
	return list
}

// abandonedTasks returns the number of tasks that Redis has counted as abandoned in all generations. known
// is false if Redis does not have all generations.
func (tr *testRun) abandonedTasks(key string) (count int, known bool) {
	for _, n := range tr.topology.masters() {
		members, err := n.admin.ZRange(context.Background(), key, 0, -1).Result()
		if strings.HasPrefix(fmt.Sprint(err), "MOVED") {
			continue
		}
		check(err)
		records := 0
		for _, m := range members {
			var generation, tasks, abandoned, since int64
			if c, _ := fmt.Sscanf(m, "abandoned %d %d", &generation, &abandoned); c == 2 {
				count += int(abandoned)
				records++
			} else if c, _ := fmt.Sscanf(m, "generation %d count %d abandoned %d since %d", &generation, &tasks, &abandoned, &since); c == 4 {
				known = true
				if tasks > 0 {
					count += int(abandoned)
				}
			}
		}
		known = known && records < 100
	}
	return count, known
}
