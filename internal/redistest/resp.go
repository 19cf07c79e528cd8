package redistest

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// readFrame reads one complete value of RESP2 or RESP3, with all nested values, and returns its
// bytes unchanged.
func readFrame(r *bufio.Reader) ([]byte, error) {
	var frame []byte
	for need := 1; need > 0; need-- {
		line, err := r.ReadBytes('\n')
		if err != nil {
			return nil, err
		}
		frame = append(frame, line...)
		n := 0
		if strings.Contains("*~>%|$=!", string(line[:1])) {
			if n, err = strconv.Atoi(string(bytes.TrimSpace(line[1:]))); err != nil {
				return nil, fmt.Errorf("redistest: not RESP: %.40q", line)
			}
		}
		switch line[0] {
		case '*', '~', '>':
			need += max(n, 0) // -1 is null
		case '%':
			need += 2 * n
		case '|': // attributes precede the value that they belong to
			need += 2*n + 1
		case '$', '=', '!':
			if n < 0 {
				continue
			}
			start := len(frame)
			frame = append(frame, make([]byte, n+2)...)
			if _, err := io.ReadFull(r, frame[start:]); err != nil {
				return nil, err
			}
		}
	}
	return frame, nil
}

// readSome reads bytes of any kind.
func readSome(r *bufio.Reader) ([]byte, error) {
	b := make([]byte, 4096)
	n, err := r.Read(b)
	return b[:n], err
}

// head returns the first word of a request or of a push, in lower case, and the number of words.
func head(frame []byte) (word string, words int) {
	lines := strings.SplitN(string(frame), "\r\n", 4) // *2 $4 ECHO …
	if len(lines) == 4 {
		word = strings.ToLower(lines[2])
		words, _ = strconv.Atoi(lines[0][1:])
	}
	return word, words
}

// array returns a request with the given words.
func array(words ...string) []byte {
	b := fmt.Appendf(nil, "*%d\r\n", len(words))
	for _, w := range words {
		b = fmt.Appendf(b, "$%d\r\n%s\r\n", len(w), w)
	}
	return b
}
