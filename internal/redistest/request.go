package redistest

import "strings"

// An action is what a [Proxy] does to a request or to its reply.
type action int

const (
	forward action = iota
	cutRequest
	cutReply
	loseReply
)

// A request was sent to the server and waits for its reply.
type request struct {
	command  string // in lower case
	argument string // the first
	action   action
	answer   []byte // the proxy's own reply, or nil
	acks     int    // acknowledgements of an (un)subscribe command; 0 for other commands, -1 if unknown
	seen     int    // acknowledgements so far
}

func newRequest(frame []byte) *request {
	list, count := words(frame, 2)
	req := &request{}
	if len(list) > 0 {
		req.command = strings.ToLower(list[0])
	}
	if len(list) > 1 {
		req.argument = list[1]
	}
	if strings.HasSuffix(req.command, "subscribe") {
		if req.acks = count - 1; req.acks == 0 {
			req.acks = -1
		}
	}
	return req
}
