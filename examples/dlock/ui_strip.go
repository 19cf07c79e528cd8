package main

import "slices"

// maxHolds is the maximum number of blocks in the strip, about one per pixel.
const maxHolds = 2000

// A strip has the holds of the last minute, by their starts.
type strip []*block

// A block of the strip shows one hold.
type block struct {
	blockView
	token   string
	version int64 // at which the block was changed; 0 means since the last frame
}

type blockView struct {
	ID    int64  `json:"id"`
	Owner string `json:"owner"`
	Name  string `json:"name"`
	From  int64  `json:"from"`
	To    int64  `json:"to"` // end, or the last time it was seen open
	Open  bool   `json:"open,omitempty"`
}

func (s *strip) start(token string, owner ownerView, from, to int64) {
	b := &block{blockView: blockView{Owner: owner.Owner, Name: owner.name(), From: from, To: to, Open: true}, token: token}
	if n := len(*s); n > 0 {
		b.ID = (*s)[n-1].ID + 1
	}
	*s = append(*s, b)
}

// stillOpen extends the open block of the token, and reports whether there is one.
func (s strip) stillOpen(token string, now int64) bool {
	i := slices.IndexFunc(s, func(b *block) bool { return b.Open && b.token == token })
	if i >= 0 {
		s[i].To, s[i].version = now, 0
	}
	return i >= 0
}

// endAll ends the open blocks. A hold lasted at least until the last poll that has seen it. If the key
// had waiters, it lasted until the next hold started.
func (s strip) endAll(at int64, contended bool) {
	for _, b := range s {
		if b.Open && contended {
			b.To = max(b.To, at)
		}
	}
	s.endOthers(nil)
}

// endOthers ends the open blocks of all but the holders.
func (s strip) endOthers(holders []holder) {
	for _, b := range s {
		if b.Open && !slices.ContainsFunc(holders, func(h holder) bool { return h.Token == b.token }) {
			b.Open, b.version = false, 0
		}
	}
}

// trim removes the blocks that ended before a time.
func (s *strip) trim(before int64) {
	*s = slices.DeleteFunc(*s, func(b *block) bool { return !b.Open && b.To < before })
	*s = (*s)[max(0, len(*s)-maxHolds):]
}

func (s strip) count(f func(*block) bool) (n int) {
	for _, b := range s {
		if f(b) {
			n++
		}
	}
	return n
}

// mark gives the changed blocks a version, and reports whether there are any.
func (s strip) mark(version int64) (changed bool) {
	for _, b := range s {
		if b.version == 0 {
			b.version, changed = version, true
		}
	}
	return changed
}

// since returns the blocks that have changed after the version.
func (s strip) since(version int64) (changed []blockView) {
	for _, b := range s {
		if b.version > version {
			changed = append(changed, b.blockView)
		}
	}
	return changed
}
