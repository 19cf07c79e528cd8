package waitgroup_test

import (
	"fmt"
	"testing"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

// TestClusterMessagesStayOnTheirNode finishes generations on every node of a cluster while another
// process waits. No message goes to another node.
func TestClusterMessagesStayOnTheirNode(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, 3)
	tags, here, there := c.HashTags(t), c.Client(t), c.Client(t)
	for round := range 5 {
		onBus, onNode := c.Messages(t)
		for node, tag := range tags {
			key := fmt.Sprint(tag, round)
			group := waitgroup.New(here, key)
			must(group.AddContext(t.Context(), 1))
			waits := waitgroup.New(there, key).WaitChan(t.Context())
			redistest.Eventually(t, redistest.Patience, func() bool {
				return len(node.Do(t, "PUBSUB", "SHARDCHANNELS", "*:done:"+key).([]any)) > 0
			}, "the waiter has subscribed")
			must(group.DoneContext(t.Context()))
			must(result(t, "the wait", waits))
		}
		onBusThen, onNodeThen := c.Messages(t)
		if n := onNodeThen - onNode; onBusThen != onBus || n != int64(len(tags)) {
			t.Errorf("%d messages to one node, and %d from node to node", n, onBusThen-onBus)
		}
	}
}
