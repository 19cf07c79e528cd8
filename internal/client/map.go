package client

// A Map is a map that frees memory when most of it has been deleted. A map of Go keeps the memory of
// its largest size.
type Map[K comparable, V any] struct {
	Entries map[K]V // for reading
	peak    int     // the most entries that Entries has had at once
}

// smallMap is the number of entries for which nothing is given back.
const smallMap = 1024

// Set sets the value of a key.
func (m *Map[K, V]) Set(key K, val V) {
	if m.Entries == nil {
		m.Entries = make(map[K]V)
	}
	m.Entries[key] = val
	m.peak = max(m.peak, len(m.Entries))
}

// Delete deletes a key.
func (m *Map[K, V]) Delete(key K) {
	delete(m.Entries, key)
	if m.peak <= smallMap || len(m.Entries) > m.peak/8 {
		return
	}
	smaller := make(map[K]V, len(m.Entries))
	for k, v := range m.Entries {
		smaller[k] = v
	}
	m.Entries, m.peak = smaller, len(smaller)
}
