package redisstore

import (
	"cmp"
	"slices"
	"strings"
)

// LockOrder returns the keys without duplicates, in the order in which every process acquires
// them, so that no two processes wait for each other. It sorts by slot, so that the keys of a
// cluster's node are adjacent, and then by bytes.
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
