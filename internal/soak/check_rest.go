package main

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// queues are the parts of a key that are there only while somebody waits.
var queues = regexp.MustCompile(`^baton:\{.*\}:(queue|waiters)`)

// rest is quiescence: when all workers have gone, so are their locks, their places in
// queues, their subscriptions and their connections, after a TTL or the life of an entry
// at the latest, and what is still there expires.
func (tr *testRun) rest() (leaks []violation) {
	var left []string
	within := 3*tr.ttl + 3600*time.Millisecond + slack
	if !eventually(within, func() bool { left = tr.left(); return len(left) == 0 }) {
		leaks = append(leaks, violated("leak", "%v after all have gone: %s", within, strings.Join(left, "; ")))
	}
	return leaks
}

// left lists what should not be there.
func (tr *testRun) left() (list []string) {
	for i, n := range tr.topology.masters() {
		for _, name := range n.names() {
			switch ttl := n.do("PTTL", name).(int64); {
			case ttl == -1:
				list = append(list, fmt.Sprintf("%q never expires", name))
			case queues.MatchString(name):
				list = append(list, fmt.Sprintf("%q is still there", name))
			case len(name) == 2 && strings.Contains("mpeof", name[:1]):
				list = append(list, fmt.Sprintf("%q is still locked", name))
			}
		}
		if channels := n.do("PUBSUB", "CHANNELS", "baton:*").([]any); len(channels) > 0 {
			list = append(list, fmt.Sprintf("subscriptions to %v", channels))
		}
		if c, _ := strconv.Atoi(n.info("connected_clients")); c > tr.clients[i] {
			list = append(list, fmt.Sprintf("%d connections, %d at first", c, tr.clients[i]))
		}
	}
	return list
}

// abandonedTasks is how many tasks Redis has counted as abandoned, in all rounds; known is
// false if it does not remember all rounds.
func (tr *testRun) abandonedTasks(key string) (count int, known bool) {
	for _, n := range tr.topology.masters() {
		members, err := n.admin.ZRange(context.Background(), key, 0, -1).Result()
		if strings.HasPrefix(fmt.Sprint(err), "MOVED") {
			continue
		}
		check(err)
		records := 0
		for _, m := range members {
			var round, tasks, left, since int64
			if c, _ := fmt.Sscanf(m, "abandoned %d %d", &round, &left); c == 2 {
				count += int(left)
				records++
			} else if c, _ := fmt.Sscanf(m, "generation %d count %d abandoned %d since %d", &round, &tasks, &left, &since); c == 4 {
				known = true
				if tasks > 0 {
					count += int(left)
				}
			}
		}
		known = known && records < 100
	}
	return count, known
}
