package main

import (
	"fmt"
	"html"
	"io"
	"slices"
	"time"
)

// A frame is what the screen shows from some time on.
type frame struct {
	at    time.Duration
	lines []string
}

type film struct {
	frames        []frame
	columns, rows int // of the largest
}

// add takes the screen as it is now. Of those that follow one another faster than
// can be seen, the last counts.
func (f *film) add(at time.Duration, screen *terminal, every time.Duration) {
	lines, last := screen.lines(), len(f.frames)-1
	f.columns, f.rows = max(f.columns, screen.width()), max(f.rows, len(lines))
	switch {
	case last >= 0 && slices.Equal(f.frames[last].lines, lines):
	case last >= 0 && at-f.frames[last].at < every:
		f.frames[last].lines = lines
	default:
		f.frames = append(f.frames, frame{at, lines})
	}
}

// In pixels, the width of a character in tenths of them.
const (
	margin     = 16
	cellWidth  = 84
	fontSize   = 14
	lineHeight = 20
)

const style = `
text { font: 14px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #1f2328 }
.back { fill: #f6f8fa; stroke: #d1d9e0 }
.s1 { font-weight: bold } .s2 { fill: #59636e } .s31 { fill: #d1242f } .s32 { fill: #1a7f37 } .s33 { fill: #9a6700 } .s35 { fill: #8250df }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc } .back { fill: #0d1117; stroke: #3d444d }
.s2 { fill: #9198a1 } .s31 { fill: #f85149 } .s32 { fill: #3fb950 } .s33 { fill: #d29922 } .s35 { fill: #ab7df8 }
}
@media (prefers-reduced-motion: reduce) { .film { animation: none } }
`

// svg writes the film: its frames lie one below the other, and are drawn past a
// window that shows one. Where nothing moves, that is one from the middle.
func (f *film) svg(w io.Writer, title string, last time.Duration) {
	columns, above := f.columns, 0
	if title != "" {
		columns, above = max(columns, len(title)), 2*lineHeight
	}
	width, height := 2*margin+columns*cellWidth/10, 2*margin+above+f.rows*lineHeight
	baseline := func(line int) int { return margin + fontSize + line*lineHeight }
	still := len(f.frames) / 2
	place := func(frame int) int { return (frame - still) * height }
	length := f.frames[len(f.frames)-1].at + last

	fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" xml:space="preserve">`+"\n", width, height)
	fmt.Fprintf(w, "<style>%s.film { animation: film %.2fs step-end infinite }\n@keyframes film {\n", style, length.Seconds())
	for i, frame := range f.frames {
		fmt.Fprintf(w, "%.3f%% { transform: translateY(%dpx) }\n", 100*frame.at.Seconds()/length.Seconds(), -place(i))
	}
	fmt.Fprintf(w, "}\n</style>\n"+`<rect class="back" x=".5" y=".5" width="%d" height="%d" rx="8"/>`+"\n", width-1, height-1)
	fmt.Fprintf(w, `<svg width="%d" height="%d"><g class="film">`+"\n", width, height)
	for i, frame := range f.frames {
		for n, line := range frame.lines {
			if line != "" {
				fmt.Fprintf(w, `<text y="%d">%s</text>`+"\n", place(i)+above+baseline(n), line)
			}
		}
	}
	fmt.Fprintln(w, "</g></svg>")
	if title != "" {
		fmt.Fprintf(w, `<text x="%d" y="%d" class="s1">%s</text>`+"\n", margin, baseline(0), html.EscapeString(title))
	}
	fmt.Fprintln(w, "</svg>")
}
