package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

func TestMain(m *testing.M) { redistest.Main(m, nil) }

// clock is a clock that goes on by a step at each look.
func clock(step time.Duration) func() time.Time {
	at := time.Unix(0, 0)
	return func() time.Time {
		at = at.Add(step)
		return at
	}
}

// text returns what is written in an SVG, line by line, and fails if it is none.
func text(t *testing.T, svg string) string {
	t.Helper()
	var all strings.Builder
	d := xml.NewDecoder(strings.NewReader(svg))
	inside := false
	for {
		token, err := d.Token()
		switch e := token.(type) {
		case xml.StartElement:
			inside = e.Name.Local == "text" || inside && e.Name.Local == "tspan"
			if e.Name.Local == "tspan" && all.Len() > 0 && !strings.HasSuffix(all.String(), "\n") {
				all.WriteString("|")
			}
		case xml.EndElement:
			if e.Name.Local == "text" {
				all.WriteString("\n")
				inside = false
			}
		case xml.CharData:
			if inside {
				all.Write(e)
			}
		}
		if err == io.EOF {
			return all.String()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestTerminal(t *testing.T) {
	const drawn = "\x1b[?25la  b\r\x1b[1;32mA\x1b[0m\n" + // over the a, in green
		"two\n" +
		"\x1b[A1\x1b[K\n" + // over the t, and nothing behind it
		"<é>   \x1b[2mfar\x1b[m\n" +
		"\x1b[2mx\x1b[m y" // parts that look different
	for name, in := range map[string]io.Reader{
		"whole": strings.NewReader(drawn), "piecemeal": iotest.OneByteReader(strings.NewReader(drawn)),
	} {
		var out bytes.Buffer
		if err := draw(&out, in, clock(0), "", time.Second, time.Second); err != nil {
			t.Fatal(err)
		}
		if got, want := text(t, out.String()), "A|b\n1\n<é>|far\nx|y\n"; got != want {
			t.Errorf("%s: it shows %q, not %q", name, got, want)
		}
		for _, part := range []string{
			`<tspan x="16" class="s1 s32">A</tspan>`, `<tspan x="41">b</tspan>`, `<tspan x="66" class="s2">far</tspan>`,
		} {
			if !strings.Contains(out.String(), part) {
				t.Errorf("%s: no %s in\n%s", name, part, out.String())
			}
		}
	}
}

// Frames that nobody could see are left out, and each of the others comes at its time.
func TestFilm(t *testing.T) {
	in, w := io.Pipe()
	go func() {
		for _, s := range []string{"one\r", "two\r", "\r", "\r", "\r", "three"} {
			_, _ = w.Write([]byte(s)) // the reader reads to the end
		}
		w.Close()
	}()
	var out bytes.Buffer
	if err := draw(&out, in, clock(100*time.Millisecond), "$ a <title>", 150*time.Millisecond, 500*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if got, want := text(t, out.String()), "two\nthree\n$ a <title>\n"; got != want {
		t.Errorf("it shows %q, not %q", got, want)
	}
	times := regexp.MustCompile(`(?m)^([\d.]+)% \{ transform: translateY\((-?\d+)px\)`).FindAllStringSubmatch(out.String(), -1)
	if len(times) != 2 || times[0][1] != "0.000" || times[1][1] != "50.000" || times[1][2] != "0" {
		t.Errorf("frames at %v", times)
	}
	if !strings.Contains(out.String(), "animation: film 1.00s step-end") {
		t.Error(out.String())
	}
}

func TestFails(t *testing.T) {
	if err := draw(io.Discard, strings.NewReader(""), time.Now, "", 0, 0); err == nil {
		t.Error("a picture of nothing")
	}
	broken := errors.New("broken")
	if err := draw(io.Discard, iotest.ErrReader(broken), time.Now, "", 0, 0); err != broken {
		t.Error(err)
	}
}

// The picture in the README is one of a run that ended well.
func TestHandoff(t *testing.T) {
	svg, err := os.ReadFile("../../examples/handoff/handoff.svg")
	if err != nil {
		t.Fatal(err)
	}
	shown := text(t, string(svg))
	for _, want := range []string{"holds", "waits", "fence", "handed over by worker", "the lock is free now", "no two were inside at once, and the fences only grew"} {
		if !strings.Contains(shown, want) {
			t.Errorf("it does not show %q", want)
		}
	}
}
