package redistest

import (
	"bufio"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func TestReadFrame(t *testing.T) {
	frames := []string{
		"+OK\r\n", "-ERR no\r\n", ":42\r\n", "_\r\n", "#t\r\n", ",1.5\r\n", "(123\r\n",
		"$5\r\nhe\r\no\r\n", "$0\r\n\r\n", "$-1\r\n", "*-1\r\n", "*0\r\n", "=7\r\ntxt:abc\r\n", "!3\r\nERR\r\n",
		"*2\r\n*1\r\n:1\r\n$1\r\na\r\n",
		"%2\r\n+a\r\n*2\r\n:1\r\n:2\r\n+b\r\n_\r\n",
		"~1\r\n+x\r\n",
		"|1\r\n+ttl\r\n:3\r\n*1\r\n+value\r\n",
		">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n",
		"PING inline\r\n",
	}
	r := bufio.NewReader(iotest.OneByteReader(strings.NewReader(strings.Join(frames, ""))))
	for _, want := range frames {
		if got, err := readFrame(r); string(got) != want || err != nil {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
	}
	if _, err := readFrame(r); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
	for _, bad := range []string{"*x\r\n", "$5\r\nabc", "*2\r\n:1\r\n", "+OK"} {
		if got, err := readFrame(bufio.NewReader(strings.NewReader(bad))); err == nil {
			t.Errorf("%q was read as %q", bad, got)
		}
	}
}

func TestWords(t *testing.T) {
	for _, c := range []struct {
		frame string
		words []string
		count int
	}{
		{string(array("GET", "key")), []string{"GET", "key"}, 2},
		{string(array("SET", "key", "value")), []string{"SET", "key"}, 3},
		{string(array("PING")), []string{"PING"}, 1},
		{">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n", []string{"message", "c"}, 3},
		{"*2\r\n:1\r\n+a\r\n", nil, 2},
		{"*-1\r\n", nil, -1},
		{"+OK\r\n", nil, 0},
		{"ping a b\r\n", []string{"ping", "a"}, 3},
		{"\r\n", nil, 0},
	} {
		if got, n := words([]byte(c.frame), 2); !slices.Equal(got, c.words) || n != c.count {
			t.Errorf("%q: %q, %d", c.frame, got, n)
		}
	}
}
