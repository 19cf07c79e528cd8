package redistest

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strconv"
)

// readFrame reads one complete value of RESP2 or RESP3, with all nested values, and returns its
// bytes unchanged. A line without a known type is an inline command.
func readFrame(r *bufio.Reader) ([]byte, error) {
	var frame []byte
	for need := 1; need > 0; need-- {
		line, err := r.ReadBytes('\n')
		if err != nil {
			return nil, err
		}
		frame = append(frame, line...)
		n, err := length(line)
		if err != nil {
			return nil, err
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

// length returns the number in the first line of a value, if it has one.
func length(line []byte) (int, error) {
	if !bytes.ContainsRune([]byte("*~>%|$=!"), rune(line[0])) {
		return 0, nil
	}
	n, err := strconv.Atoi(string(bytes.TrimSpace(line[1:])))
	if err != nil {
		return 0, fmt.Errorf("redistest: not RESP: %.40q", line)
	}
	return n, nil
}

// array returns a request with the given words.
func array(words ...string) []byte {
	b := fmt.Appendf(nil, "*%d\r\n", len(words))
	for _, w := range words {
		b = fmt.Appendf(b, "$%d\r\n%s\r\n", len(w), w)
	}
	return b
}

// words returns the first strings, at most limit, of an array or a push, and the count of all
// elements. For an inline command it returns the words.
func words(frame []byte, limit int) (list []string, count int) {
	line, rest, _ := bytes.Cut(frame, []byte("\r\n"))
	switch frame[0] {
	case '*', '>':
		count, _ = strconv.Atoi(string(line[1:]))
	case '+', '-', ':', '$', '_', '#', ',', '(', '!', '=', '%', '~', '|':
		return nil, 0
	default:
		fields := bytes.Fields(line)
		for _, f := range fields[:min(limit, len(fields))] {
			list = append(list, string(f))
		}
		return list, len(fields)
	}
	for len(list) < min(limit, count) {
		line, rest, _ = bytes.Cut(rest, []byte("\r\n"))
		if len(line) == 0 {
			break
		}
		if line[0] == '+' {
			list = append(list, string(line[1:]))
			continue
		}
		n, err := strconv.Atoi(string(line[1:]))
		if line[0] != '$' || err != nil || n < 0 || n+2 > len(rest) {
			break
		}
		list = append(list, string(rest[:n]))
		rest = rest[n+2:]
	}
	return list, count
}
