package main

import (
	"strings"
	"time"
)

const clusterTimeout = 30 * time.Second

func (n *node) knowsAll() bool {
	v, err := n.do("CLUSTER", "INFO")
	text, _ := v.(string)
	return err == nil && strings.Contains(text, "cluster_state:ok") && strings.Contains(text, "cluster_known_nodes:2")
}

// move gives the slot of a key to the other node, a key at a time, with pauses in
// which its keys are apart. It returns how many keys it has moved.
func (t *topology) move(key string, pause time.Duration) (moved int, err error) {
	slot, err := t.nodes[0].do("CLUSTER", "KEYSLOT", key)
	if err != nil {
		return 0, err
	}
	from, to := t.nodes[0], t.nodes[1]
	if owner, err := t.owner(slot.(int64)); err != nil {
		return 0, err
	} else if owner == 1 {
		from, to = to, from
	}
	fromID, err := from.do("CLUSTER", "MYID")
	if err != nil {
		return 0, err
	}
	toID, err := to.do("CLUSTER", "MYID")
	if err != nil {
		return 0, err
	}
	if _, err := to.do("CLUSTER", "SETSLOT", slot, "IMPORTING", fromID); err != nil {
		return 0, err
	}
	if _, err := from.do("CLUSTER", "SETSLOT", slot, "MIGRATING", toID); err != nil {
		return 0, err
	}
	for {
		list, err := from.do("CLUSTER", "GETKEYSINSLOT", slot, 1)
		if err != nil {
			return moved, err
		}
		if len(list.([]any)) == 0 {
			break
		}
		// NOKEY, if it has expired meanwhile.
		if _, err := from.do("MIGRATE", "127.0.0.1", to.Port(), list.([]any)[0], 0, 5000); err != nil {
			return moved, err
		}
		moved++
		time.Sleep(pause)
	}
	for _, n := range []*node{to, from} {
		if _, err := n.do("CLUSTER", "SETSLOT", slot, "NODE", toID); err != nil {
			return moved, err
		}
	}
	return moved, nil
}

// owner is the index of the node that has the slot.
func (t *topology) owner(slot int64) (int, error) {
	v, err := t.nodes[0].do("CLUSTER", "SLOTS")
	if err != nil {
		return 0, err
	}
	for _, r := range v.([]any) {
		r := r.([]any)
		if first, last := r[0].(int64), r[1].(int64); first <= slot && slot <= last {
			if r[2].([]any)[1].(int64) == int64(t.nodes[1].Port()) {
				return 1, nil
			}
			return 0, nil
		}
	}
	return 0, nil
}
