package redisstore

import (
	"cmp"
	"slices"
	"strings"
)

// LockOrder returns the keys, each once, in the order in which every process takes
// them, so that no two can wait for each other: by their slot, so that those of
// one node stand together, and then by their bytes.
func LockOrder(keys []string) []string {
	type slotKey struct {
		slot uint16
		key  string
	}
	slotKeys := make([]slotKey, len(keys))
	for i, key := range keys {
		slotKeys[i] = slotKey{slot(key), key}
	}
	slices.SortFunc(slotKeys, func(a, b slotKey) int {
		return cmp.Or(cmp.Compare(a.slot, b.slot), strings.Compare(a.key, b.key))
	})
	slotKeys = slices.Compact(slotKeys)
	sorted := make([]string, len(slotKeys))
	for i, p := range slotKeys {
		sorted[i] = p.key
	}
	return sorted
}
