package main

import (
	"fmt"
	"html"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// style serves light and dark pages. It has a background of its own, as what a
// page has behind a picture need not be what the reader's system prefers.
const style = `<style>
text{font:12px system-ui,-apple-system,"Segoe UI",Helvetica,Arial,sans-serif;fill:#1f2328}
.back{fill:#fff}.title{font-size:16px;font-weight:600}.muted{fill:#59636e}.grid{stroke:#d8dee4}.axis{stroke:#59636e}
path,.whisker,.lead{fill:none;stroke:currentColor;stroke-width:2}.whisker{stroke-width:5;opacity:.3}.lead{stroke-width:1;opacity:.6}
circle,.name{fill:currentColor}.name{font-size:13px}
path.default{stroke-dasharray:6 4}path.spin{stroke-dasharray:2 3}path.baton{stroke-width:3.5}text.baton{font-weight:700}
.baton{color:#0969da}.redislock{color:#bc4c00}.redsync{color:#1a7f37}.rueidislock{color:#8250df}.spin{color:#59636e}
@media (prefers-color-scheme:dark){
text{fill:#e6edf3}.back{fill:#0d1117}.muted{fill:#9198a1}.grid{stroke:#30363d}.axis{stroke:#9198a1}.name{fill:currentColor}
.baton{color:#58a6ff}.redislock{color:#f0883e}.redsync{color:#3fb950}.rueidislock{color:#bc8cff}.spin{color:#9198a1}
}
</style>
`

// draw writes a file per chart.
func draw(dir string, list []chart) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	for _, c := range list {
		if err := os.WriteFile(filepath.Join(dir, c.file+".svg"), []byte(c.svg()), 0o666); err != nil {
			return err
		}
	}
	return nil
}

func (c chart) svg() string {
	var b strings.Builder
	title := strings.ToUpper(c.title[:1]) + c.title[1:]
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" aria-label="%s">`+"\n%s",
		width, height, width, height, html.EscapeString(title), style)
	fmt.Fprintf(&b, `<rect class="back" width="%d" height="%d" rx="6"/>`+"\n", width, height)
	words(&b, "title", "start", 16, 26, title)
	words(&b, "muted", "start", 16, 46, "one lock, wanted all the time and held for none; median and range of the rounds; "+c.better)
	c.grid(&b)
	for _, l := range slices.Backward(c.lines) { // ours is the first, and lies on top
		c.draw(&b, l)
	}
	for _, l := range c.labels() {
		if math.Abs(l.y-l.at) > 3 || l.x < right {
			fmt.Fprintf(&b, `<line class="lead %s" x1="%.1f" y1="%.1f" x2="%d" y2="%.1f"/>`+"\n", family(l.name), l.x+5, l.at, right+17, l.y)
		}
		words(&b, "name "+family(l.name), "start", right+20, l.y+4, l.name)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func words(b *strings.Builder, class, anchor string, x, y float64, text string) {
	fmt.Fprintf(b, `<text class="%s" text-anchor="%s" x="%.1f" y="%.1f">%s</text>`+"\n", class, anchor, x, y, html.EscapeString(text))
}

// family is what a system's settings have in common: it sets the colour.
func family(name string) string {
	first, _, _ := strings.Cut(name, "-")
	return first
}

// grid draws the axes and what is said at them.
func (c chart) grid(b *strings.Builder) {
	rule := func(class string, x1, y1, x2, y2 float64) {
		fmt.Fprintf(b, `<line class="%s" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`+"\n", class, x1, y1, x2, y2)
	}
	for _, v := range c.ticks() {
		rule("grid", left, c.y(v), right, c.y(v))
		words(b, "muted", "end", left-8, c.y(v)+4, tick(v))
	}
	for _, n := range c.waiters() {
		rule("axis", c.x(n), foot, c.x(n), foot+5)
		words(b, "muted", "middle", c.x(n), foot+20, fmt.Sprint(n))
	}
	rule("axis", left, foot, right, foot)
	words(b, "muted", "middle", (left+right)/2, foot+42, "goroutines that want the lock, in 4 processes")
	words(b, "muted", "end", width-16, foot+42, "dashed: default settings")
}

func (c chart) ticks() (list []float64) {
	if c.linear {
		return []float64{0, 0.2, 0.4, 0.6, 0.8, 1}
	}
	low, high := c.span()
	for e := low; e <= high; e++ {
		list = append(list, math.Pow(10, e))
	}
	return list
}

func tick(v float64) string {
	switch {
	case v >= 1e6:
		return fmt.Sprintf("%.0f,000,000", v/1e6)
	case v >= 1000:
		return fmt.Sprintf("%.0f,000", v/1000)
	}
	return fmt.Sprintf("%.4g", v)
}

// draw draws a line: its medians, and at each the range of its rounds.
func (c chart) draw(b *strings.Builder, l line) {
	class, path := family(l.name), ""
	var marks strings.Builder
	for _, p := range l.points {
		y := p.values.median()
		if !c.shown(y) {
			continue
		}
		path += fmt.Sprintf("%s%.1f %.1f", map[bool]string{true: "M", false: "L"}[path == ""], c.x(p.waiters), c.y(y))
		if low, high := slices.Min(p.values), slices.Max(p.values); c.shown(low) && c.shown(high) {
			fmt.Fprintf(&marks, `<line class="whisker %s" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`+"\n",
				class, c.x(p.waiters), c.y(low), c.x(p.waiters), c.y(high))
		}
		fmt.Fprintf(&marks, `<circle class="%s" cx="%.1f" cy="%.1f" r="3"/>`+"\n", class, c.x(p.waiters), c.y(y))
	}
	kind := class
	if class == l.name && class != "baton" && class != "spin" {
		kind += " default"
	}
	fmt.Fprintf(b, `<path class="%s" d="%s"/>`+"\n%s", kind, path, marks.String())
}
