package main

import (
	"fmt"
	"html"
	"regexp"
	"strings"
	"unicode/utf8"
)

// A cell is one character on the screen, and the class of its looks.
type cell struct {
	r     rune
	class string
}

// A terminal is a screen without end, and the little of a VT100 that draws on it.
type terminal struct {
	rows     [][]cell
	row, col int
	class    string
	rest     []byte // the beginning of a code or a character, whose end is to come
}

var (
	code      = regexp.MustCompile(`^\x1b\[(\??[0-9;]*)([A-Za-z])`)
	beginning = regexp.MustCompile(`^\x1b(\[\??[0-9;]*)?$`)
)

func (t *terminal) write(p []byte) {
	p = append(t.rest, p...)
	for len(p) > 0 {
		if m := code.FindSubmatch(p); m != nil {
			t.obey(string(m[1]), m[2][0])
			p = p[len(m[0]):]
			continue
		}
		if beginning.Match(p) || !utf8.FullRune(p) {
			break
		}
		r, n := utf8.DecodeRune(p)
		t.put(r)
		p = p[n:]
	}
	t.rest = append([]byte(nil), p...)
}

// obey follows a code. What it does not know, as to hide the cursor, which it has
// not, changes nothing.
func (t *terminal) obey(args string, what byte) {
	switch what {
	case 'A': // up
		n := 1
		fmt.Sscan(args, &n) // without a number it is one
		t.row = max(0, t.row-n)
	case 'K': // erase the rest of the line
		if t.row < len(t.rows) && t.col < len(t.rows[t.row]) {
			t.rows[t.row] = t.rows[t.row][:t.col]
		}
	case 'm':
		t.class = classes(args)
	}
}

// classes names the looks, as the style sheet of the picture has them.
func classes(args string) string {
	var all []string
	for arg := range strings.SplitSeq(args, ";") {
		if arg != "" && arg != "0" {
			all = append(all, "s"+arg)
		}
	}
	return strings.Join(all, " ")
}

func (t *terminal) put(r rune) {
	switch r {
	case '\r':
		t.col = 0
		return
	case '\n':
		t.row, t.col = t.row+1, 0 // as terminals do for programs that know no other
		return
	}
	for len(t.rows) <= t.row {
		t.rows = append(t.rows, nil)
	}
	for len(t.rows[t.row]) <= t.col {
		t.rows[t.row] = append(t.rows[t.row], cell{r: ' '})
	}
	t.rows[t.row][t.col] = cell{r, t.class}
	t.col++
}

// lines returns the screen as the content of <text> elements. What looks alike and
// is not parted by much space is one piece, and each begins at its own place: so columns
// stay straight in a font of any width.
func (t *terminal) lines() (all []string) {
	for _, row := range t.rows {
		var line strings.Builder
		for at := 0; at < len(row); {
			if row[at].r == ' ' {
				at++
				continue
			}
			end, text := at, ""
			for end < len(row) && row[end].class == row[at].class && !strings.HasSuffix(text, "  ") {
				text += string(row[end].r)
				end++
			}
			fmt.Fprintf(&line, `<tspan x="%d"`, margin+at*cellWidth/10)
			if row[at].class != "" {
				fmt.Fprintf(&line, ` class="%s"`, row[at].class)
			}
			fmt.Fprintf(&line, `>%s</tspan>`, html.EscapeString(strings.TrimRight(text, " ")))
			at = end
		}
		all = append(all, line.String())
	}
	return all
}

// width returns the columns in use.
func (t *terminal) width() (columns int) {
	for _, row := range t.rows {
		columns = max(columns, len(row))
	}
	return columns
}
