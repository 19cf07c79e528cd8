package redisstore

import (
	"cmp"
	"slices"
	"strings"
)

// InOrder returns the keys, each once, in the order in which every process takes
// them, so that no two can wait for each other: by their slot, so that those of
// one node stand together, and then by their bytes.
func InOrder(keys []string) []string {
	type place struct {
		slot uint16
		key  string
	}
	places := make([]place, len(keys))
	for i, key := range keys {
		places[i] = place{slot(key), key}
	}
	slices.SortFunc(places, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.slot, b.slot), strings.Compare(a.key, b.key))
	})
	places = slices.Compact(places)
	sorted := make([]string, len(places))
	for i, p := range places {
		sorted[i] = p.key
	}
	return sorted
}
