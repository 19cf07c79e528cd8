package lease

// A Map is a map that gives memory back when most of it has been deleted. A map of Go
// keeps what it has needed once.
type Map[K comparable, V any] struct {
	M    map[K]V // for reading
	most int     // entries that M has had at once
}

// smallMap is the number of entries for which nothing is given back.
const smallMap = 1024

// Set sets the value of a key.
func (m *Map[K, V]) Set(key K, val V) {
	if m.M == nil {
		m.M = make(map[K]V)
	}
	m.M[key] = val
	m.most = max(m.most, len(m.M))
}

// Delete deletes a key.
func (m *Map[K, V]) Delete(key K) {
	delete(m.M, key)
	if m.most <= smallMap || len(m.M) > m.most/8 {
		return
	}
	smaller := make(map[K]V, len(m.M))
	for k, v := range m.M {
		smaller[k] = v
	}
	m.M, m.most = smaller, len(smaller)
}
