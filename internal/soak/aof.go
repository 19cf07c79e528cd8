package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// appendOnly reads the commands of a server's append-only file, in the order in which
// it has executed them. What a script has done is one transaction.
func appendOnly(dir string, each func(transaction [][]string)) error {
	files, err := filepath.Glob(filepath.Join(dir, "appendonlydir", "*.incr.aof"))
	if err != nil {
		return err
	}
	slices.SortFunc(files, func(a, b string) int { return serial(a) - serial(b) })
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		err = transactions(bufio.NewReader(f), each)
		f.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// serial is N of appendonly.aof.N.incr.aof.
func serial(name string) int {
	words := strings.Split(filepath.Base(name), ".")
	n, _ := strconv.Atoi(words[len(words)-3])
	return n
}

func transactions(r *bufio.Reader, each func([][]string)) error {
	var open [][]string
	inside := false
	for {
		command, err := nextCommand(r)
		// Killed in the middle of a write, the server cuts off what it has begun.
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch strings.ToUpper(command[0]) {
		case "MULTI":
			inside, open = true, nil
		case "EXEC":
			inside = false
			each(open)
		default:
			if inside {
				open = append(open, command)
			} else {
				each([][]string{command})
			}
		}
	}
}

func nextCommand(r *bufio.Reader) (words []string, err error) {
	line, err := r.ReadString('\n')
	for err == nil && strings.HasPrefix(line, "#") {
		line, err = r.ReadString('\n')
	}
	if err != nil {
		return nil, err
	}
	count, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(line, "*")))
	if err != nil {
		return nil, fmt.Errorf("not a command: %q", line)
	}
	for range count {
		if line, err = r.ReadString('\n'); err != nil {
			return nil, err
		}
		n, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(line, "$")))
		if err != nil {
			return nil, fmt.Errorf("not a word: %q", line)
		}
		b := make([]byte, n+2)
		if _, err := io.ReadFull(r, b); err != nil {
			return nil, err
		}
		words = append(words, string(b[:n]))
	}
	return words, nil
}
