package redisstore

import (
	"strconv"
	"strings"

	"github.com/seed-3d5fec5c/baton/internal/client"
	"github.com/seed-3d5fec5c/baton/internal/lease"
)

func handleMessage(l client.MessageHandler, channel, payload string) {
	if h, ok := parseMessage(payload); ok {
		l.HandleMessage(channel, h)
	}
}

// parseMessage parses "kind seq want_seq base weight contended token key". The key comes last,
// because it may contain spaces. The message that a generation of a wait group is finished has
// the form "w generation 0 0 abandoned 0 - key".
func parseMessage(payload string) (h lease.Handover, ok bool) {
	part := strings.SplitN(payload, " ", 8)
	if len(part) != 8 || len(part[0]) != 1 {
		return h, false
	}
	var n [4]int64
	for i := range n {
		var err error
		if n[i], err = strconv.ParseInt(part[1+i], 10, 64); err != nil {
			return h, false
		}
	}
	name := lease.Name{Kind: lease.Kind(part[0][0]), Key: part[7]}
	return lease.Handover{Name: name, Token: part[6], Seq: n[0], WantSeq: n[1], FenceBase: n[2], Weight: n[3], Contended: part[5] == "1"}, true
}
