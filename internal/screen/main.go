package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"
)

func main() {
	title := flag.String("title", "", "a `line` above all others")
	every := flag.Duration("every", 150*time.Millisecond, "how `long` a frame stays, at least")
	last := flag.Duration("last", 5*time.Second, "how `long` the last one stays")
	flag.Parse()
	if err := draw(os.Stdout, os.Stdin, time.Now, *title, *every, *last); err != nil {
		fmt.Fprintln(os.Stderr, "screen:", err)
		os.Exit(1)
	}
}

// draw films what comes in until its end. Time begins with the first of it.
func draw(out io.Writer, in io.Reader, now func() time.Time, title string, every, last time.Duration) error {
	var (
		screen terminal
		film   film
		start  time.Time
		piece  = make([]byte, 64<<10)
	)
	for {
		n, err := in.Read(piece)
		if n > 0 {
			at := now()
			if start.IsZero() {
				start = at
			}
			screen.write(piece[:n])
			film.add(at.Sub(start), &screen, every)
		}
		switch {
		case err == io.EOF && len(film.frames) == 0:
			return errors.New("there was nothing to draw")
		case err == io.EOF:
			w := bufio.NewWriter(out)
			film.svg(w, title, last)
			return w.Flush()
		case err != nil:
			return err
		}
	}
}
