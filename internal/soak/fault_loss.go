package main

import "time"

// What these do loses what Redis was told: exclusion is void until all holds of before
// are over, and fences alone keep their order.
var lossFaults = []fault{
	{name: "restart-empty", rows: "1", loses: true, on: []string{"single", "cluster"}, bound: bounds.outage, inject: func(x *injection) error {
		list, from := x.topology.masters(), now()
		n := list[x.random.IntN(len(list))]
		err := x.restarted(n, n.Restart)
		x.lose("", from)
		if err == nil && x.topology.kind == "cluster" {
			err = x.topology.formed()
		}
		return err
	}},
	{name: "flush-all", rows: "14", loses: true, bound: bounds.outage, inject: func(x *injection) error {
		from, keys := now(), 0
		err := x.each(func(n *node) error {
			list, err := n.names()
			if err == nil {
				keys += len(list)
				_, err = n.do("FLUSHALL")
			}
			return err
		})
		x.lose("", from)
		if keys > 0 {
			x.prove("there were %d keys", keys)
		}
		return err
	}},
	{name: "delete-key", rows: "13, 14", loses: true, bound: bounds.outage, inject: deleteKeys},
}

// deleteKeys deletes a key of the workers, and maybe what goes with it, as eviction
// does.
func deleteKeys(x *injection) error {
	key := x.keys[x.random.IntN(len(x.keys))]
	from := now()
	for deleted := int64(0); deleted == 0 && now()-from < int64(2*time.Second); {
		for _, n := range x.topology.masters() {
			list, err := n.names()
			if err != nil {
				return err
			}
			for _, name := range list {
				if name != key && (!sibling(name, key) || x.random.IntN(2) == 0) {
					continue
				}
				// MOVED is impossible: the node has the key, and no slot moves now.
				v, err := n.do("DEL", name)
				if err != nil {
					return err
				}
				if name == key {
					deleted += v.(int64)
				}
			}
		}
		if deleted > 0 {
			x.prove("DEL %s said %d", key, deleted)
		}
	}
	x.lose(key, from)
	return nil
}
