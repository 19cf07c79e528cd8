package client

import (
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// An Owner is the process that holds or awaits something, as its token describes it.
type Owner struct {
	Host  string
	PID   int
	Label string // as its process has set it
	// Token is what Redis has. Of a lock that is not of this library, nothing else is known.
	Token string
}

// maxLabelLen is the part of a label that goes into a token. Redis keeps tokens and sends them in
// messages, so they must be short.
const maxLabelLen = 100

// NewToken returns the token of a new hold: "baton:ttl:host:pid:process:serial", with the
// mark behind the serial, and ":label" if there is one. redis-cli shows it as the lock's value. No two holds share
// one. It contains no space, because spaces separate the fields of a message.
func (c *Client) NewToken(ttl time.Duration, label, mark string) string {
	var buf [128]byte // does not escape
	b := strconv.AppendInt(append(buf[:0], "baton:"...), ttl.Milliseconds(), 10)
	b = append(append(b, ':'), c.tokenPrefix...)
	b = append(strconv.AppendInt(b, c.serial.Add(1), 36), mark...)
	if label != "" {
		b = append(append(b, ':'), url.QueryEscape(label[:min(len(label), maxLabelLen)])...)
	}
	return string(b)
}

// newTokenPrefix returns the part that all tokens of this process share.
func newTokenPrefix(process string) string {
	host, _ := os.Hostname()
	host = strings.Map(func(r rune) rune {
		if r <= ' ' || r == ':' {
			return '_'
		}
		return r
	}, host)
	return host + ":" + strconv.Itoa(os.Getpid()) + ":" + process + ":"
}

// ParseOwner reads a token.
func ParseOwner(token string) Owner {
	o := Owner{Token: token}
	part := strings.SplitN(token, ":", 7)
	if len(part) < 6 || part[0] != "baton" {
		return o
	}
	pid, err := strconv.Atoi(part[3])
	if err != nil {
		return o
	}
	o.Host, o.PID = part[2], pid
	if len(part) == 7 {
		if label, err := url.QueryUnescape(part[6]); err == nil {
			o.Label = label
		}
	}
	return o
}

// ParseMark returns the mark behind the serial, "" if there is none, and the channel of the
// process.
func ParseMark(token string) (mark, channel string) {
	part := strings.SplitN(token, ":", 7)
	if len(part) < 6 || part[0] != "baton" {
		return "", ""
	}
	if i := strings.IndexAny(part[5], "!~"); i >= 0 {
		mark = part[5][i : i+1]
	}
	return mark, channelPrefix + part[4]
}

// String is "label (host, pid 7)", or as much of that as there is.
func (o Owner) String() string {
	switch {
	case o.Host == "":
		return o.Token
	case o.Label == "":
		return o.Host + ", pid " + strconv.Itoa(o.PID)
	}
	return o.Label + " (" + o.Host + ", pid " + strconv.Itoa(o.PID) + ")"
}
