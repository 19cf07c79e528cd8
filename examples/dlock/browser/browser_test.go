// Package browser tests the page of dlock ui in a headless Chromium. It is a module of its own, so
// that its dependencies do not become dependencies of baton.
package browser

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

var update = flag.Bool("update", false, "write the screenshots of the README")

var dir string // of the built programs

func TestMain(m *testing.M) { redistest.Main(m, nil) }

// program builds an example.
func program(t *testing.T, name string) string {
	t.Helper()
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "dlock"); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, name)
	build := exec.Command("go", "build", "-o", path, "./examples/"+name)
	build.Dir = "../../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

// start runs a program until the test ends.
func start(t *testing.T, s *redistest.Server, program string, args ...string) *bufio.Reader {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), "REDIS_URL="+s.URL(), "USER=")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	})
	return bufio.NewReader(out)
}

// serve starts dlock ui, and returns its address and the token that it prints.
func serve(t *testing.T, s *redistest.Server) (url, token string) {
	t.Helper()
	out := start(t, s, program(t, "dlock"), "ui", "-addr", "127.0.0.1:0", "-allow-release")
	line, err := out.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	second, err := out.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(line)[0], second[strings.LastIndex(second, " ")+1 : len(second)-1]
}

// A tab is a page in Chromium. A JavaScript exception or a message on the console fails the test.
type tab struct {
	*testing.T
	chrome context.Context
}

func open(t *testing.T, url string, width, height int64) *tab {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is not installed")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.Flag("force-prefers-reduced-motion", true))
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	chromedp.ListenTarget(ctx, func(event any) {
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			t.Errorf("JavaScript exception: %v", e.ExceptionDetails)
		case *log.EventEntryAdded:
			if !strings.Contains(e.Entry.Text, "ERR_") && !strings.Contains(e.Entry.Text, "status of 403") { // expected by the tests
				t.Errorf("message on the console: %s", e.Entry.Text)
			}
		}
	})
	b := &tab{t, ctx}
	b.do(log.Enable(), chromedp.EmulateViewport(width, height), chromedp.Navigate(url))
	return b
}

func (b *tab) do(actions ...chromedp.Action) {
	b.Helper()
	if err := chromedp.Run(b.chrome, actions...); err != nil {
		b.Fatal(err)
	}
}

// eval returns the value of an expression.
func eval[T any](b *tab, js string) (v T) {
	b.Helper()
	b.do(chromedp.Evaluate(js, &v))
	return v
}

// until waits until an expression is true.
func (b *tab) until(desc, js string) {
	b.Helper()
	var text string
	redistest.Eventually(b.T, 15*time.Second, func() bool {
		if eval[bool](b, js) {
			return true
		}
		text = eval[string](b, `document.body.innerText`)
		return false
	}, "%s: the page has %v", desc, &text)
}

// row is the expression for the row of a key.
func row(name string) string {
	quoted, _ := json.Marshal(name)
	return fmt.Sprintf(`[...document.querySelectorAll("tr.key")].find(r => r.querySelector(".name").textContent === %s)`, quoted)
}

func held(name, by string) string {
	quoted, _ := json.Marshal(by)
	return fmt.Sprintf(`%s?.querySelector(".holder .label")?.textContent === %s`, row(name), quoted)
}

func lock(t *testing.T, s *redistest.Server, key, label string) *mutex.Lease {
	t.Helper()
	m := mutex.New(s.Client(t), key)
	m.Label = label
	l, err := m.LockContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestRowsFollowTheLock checks that a row follows a real lock, and logs the delays.
func TestRowsFollowTheLock(t *testing.T) {
	s := redistest.Start(t)
	url, _ := serve(t, s)
	b := open(t, url, 1280, 800)
	b.until("the page is empty", `!document.getElementById("empty").hidden && document.getElementById("state").textContent === "live"`)
	since := func(desc string, from time.Time) {
		t.Logf("%s after %v", desc, time.Since(from).Round(time.Millisecond))
	}
	l, at := lock(t, s, "orders", "api-1"), time.Now()
	b.until("the row appears", held("orders", "api-1"))
	since("the row appears", at)
	other := mutex.New(s.Client(t), "orders")
	other.Label = "api-2"
	wait := other.LockChan(t.Context())
	at = time.Now()
	b.until("the waiter appears", row("orders")+`.querySelector(".queue .label")?.textContent === "api-2"`)
	since("the waiter appears", at)
	if err := l.Unlock(); err != nil {
		t.Error(err)
	}
	l, at = (<-wait).Lease, time.Now()
	b.until("the new holder appears", held("orders", "api-2")+` && !`+row("orders")+`.querySelector(".queue .h")`)
	since("the new holder appears", at)
	if got, want := eval[string](b, row("orders")+`.querySelector(".fence").textContent`), fmt.Sprint(l.Fence()); got != want {
		t.Errorf("the fence is %s, want %s", got, want)
	}
	if left := eval[float64](b, `+`+row("orders")+`.querySelector(".bar i").style.transform.match(/[\d.]+/)[0]`); left <= 0 || left > 1 {
		t.Errorf("the bar shows %v", left)
	}
	if err := l.Unlock(); err != nil {
		t.Error(err)
	}
	at = time.Now()
	b.until("the row disappears", `!`+row("orders"))
	since("the row disappears", at)
}

// TestNamesAreText uses a key and a label with HTML.
func TestNamesAreText(t *testing.T) {
	s := redistest.Start(t)
	url, _ := serve(t, s)
	b := open(t, url, 1280, 800)
	const script, image = `<script>window.pwned = 1</script>`, `<img src=x onerror="window.pwned = 1">`
	l := lock(t, s, script, image)
	b.until("the row appears", held(script, image))
	b.do(chromedp.KeyEvent("j"), chromedp.KeyEvent(kb.Enter))
	b.until("the detail opens", `!!document.querySelector("tr.detail .cols td .label")`)
	if n := eval[int](b, `document.querySelectorAll("main script, main img").length + (window.pwned ? 100 : 0)`); n != 0 {
		t.Errorf("the page inserted a name as HTML: %d", n)
	}
	_ = l.Unlock()
}

// TestOutage kills and restarts Redis.
func TestOutage(t *testing.T) {
	s := redistest.Start(t)
	url, _ := serve(t, s)
	b := open(t, url, 1280, 800)
	_ = lock(t, s, "before", "a")
	b.until("the row appears", held("before", "a"))
	s.Kill()
	b.until("the page shows the outage", `document.getElementById("banner").textContent.startsWith("Redis has not replied since") && document.getElementById("main").className === "stale"`)
	if !eval[bool](b, held("before", "a")) {
		t.Error("the page lost its rows")
	}
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	l := lock(t, s, "after", "b")
	b.until("the page recovers", held("after", "b")+` && !`+row("before")+` && getComputedStyle(document.getElementById("banner")).display === "none"`)
	_ = l.Unlock()
}

// TestControls searches, sorts, changes the theme and opens a key with the keyboard.
func TestControls(t *testing.T) {
	s := redistest.Start(t)
	url, _ := serve(t, s)
	b := open(t, url, 1280, 800)
	for _, key := range []string{"a", "b", "c"} {
		defer lock(t, s, key, "holder of "+key).Unlock()
	}
	names := `[...document.querySelectorAll("tr.key .name")].map(e => e.textContent).join("")`
	b.until("three rows", names+` === "abc"`)
	b.do(chromedp.KeyEvent("/"))
	b.until("the search has the focus", `document.activeElement.id === "search"`)
	eval[any](b, `void (document.activeElement.value = "holder B", document.activeElement.dispatchEvent(new Event("input")))`)
	b.until("one row matches", names+` === "b"`)
	b.do(chromedp.KeyEvent(kb.Enter))
	b.until("the detail opens", row("b")+`.parentNode.querySelector("canvas")?.height > 40`)
	b.do(chromedp.KeyEvent(kb.Escape))
	b.until("all rows match", names+` === "abc"`)
	b.do(chromedp.KeyEvent("j"), chromedp.KeyEvent("t"))
	b.until("c is selected, and the theme is dark", row("c")+`.classList.contains("selected") && document.documentElement.style.colorScheme === "dark"`)
	b.do(chromedp.KeyEvent(kb.Escape))
	b.until("the detail closes", `!document.querySelector("tr.detail")`)
	wait := mutex.New(s.Client(t), "c").LockChan(t.Context())
	b.do(chromedp.KeyEvent("s"))
	b.until("the key with a waiter is first", names+` === "cab"`)
	b.do(emulation.SetDeviceMetricsOverride(390, 800, 1, true))
	if wide := eval[int](b, `document.scrollingElement.scrollWidth - innerWidth`); wide > 0 {
		t.Errorf("on a narrow screen, the page is %d pixels too wide", wide)
	}
	_ = wait
}

// TestRelease releases a lock with the token.
func TestRelease(t *testing.T) {
	s := redistest.Start(t)
	url, token := serve(t, s)
	b := open(t, url, 1280, 800)
	l := lock(t, s, "key", "a")
	b.until("the row appears", held("key", "a"))
	b.do(chromedp.KeyEvent("j"), chromedp.KeyEvent(kb.Enter))
	b.until("the release button appears", `!!document.querySelector("tr.detail .danger")`)
	click := func(selector string) { eval[any](b, `void document.querySelector("`+selector+`").click()`) }
	click("tr.detail .danger")
	submit := func(token string) {
		eval[any](b, `void (document.getElementById("release-token").value = "`+token+`")`)
		click("#release-go")
	}
	submit("guess")
	b.until("a wrong token is rejected", `document.getElementById("release-error").textContent.includes("wrong token")`)
	if l.Err() != nil {
		t.Fatal(l.Err())
	}
	submit(token)
	b.until("the lock is released", `!document.querySelector("dialog[open]") && !`+row("key"))
	if err := l.Unlock(); !errors.Is(err, mutex.ErrLost) {
		t.Error(err)
	}
}

// TestHandoff watches three processes of examples/handoff for 20 s. With -update, it writes the
// screenshots of the README.
func TestHandoff(t *testing.T) {
	s := redistest.Start(t)
	url, _ := serve(t, s)
	handoff := program(t, "handoff")
	for range 3 {
		start(t, s, handoff, "-for", "0", "-live=false", "-workers", "2", "-hold", "1s", "-key", "orders:settle")
	}
	defer lock(t, s, "nightly:report", "cron: report.sh").Unlock()
	waiter, cancel := context.WithCancel(t.Context())
	defer cancel()
	late := mutex.New(s.Client(t), "nightly:report")
	late.Label = "mia@pts/3: report.sh"
	late.LockChan(waiter)
	for _, label := range []string{"web-1", "web-2"} {
		rw := mutex.NewRW(s.Client(t), "catalog")
		rw.Label = label
		rw.RLock()
		defer rw.RUnlock()
	}
	writer := mutex.NewRW(s.Client(t), "catalog")
	writer.Label = "importer"
	writer.LockChan(waiter)
	exports := semaphore.NewWeighted(s.Client(t), "export:slots", 4)
	exports.Label = "export-7"
	if err := exports.Acquire(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	defer exports.Release(3)
	mails := semaphore.NewLimiter(s.Client(t), "mails", 0.1, 40)
	mails.AllowN(28)

	const id = "b3JkZXJzOnNldHRsZQ"
	b := open(t, url+"/#"+id, 1280, 700)
	b.until("the detail opens", row("orders:settle")+`?.parentNode.querySelector("tr.detail") !== null`)

	r, err := http.NewRequestWithContext(t.Context(), "GET", url+"/events?key="+id, nil)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	before, began := s.Stats(t), time.Now()
	type frame struct {
		Now  int64 `json:"now"`
		Rows []struct {
			Name    string `json:"name"`
			Holders []struct {
				PID   int    `json:"pid"`
				Fence string `json:"fence"`
			} `json:"holders"`
		} `json:"rows"`
		Cost int64 `json:"cost"`
	}

	holds, fence, first, cost := map[int]int{}, "", int64(0), int64(0)
	for lines := bufio.NewScanner(stream.Body); lines.Scan(); {
		text, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var f frame
		if err := json.Unmarshal([]byte(text), &f); err != nil {
			t.Fatal(err)
		}

		for _, row := range f.Rows {
			if row.Name != "orders:settle" || len(row.Holders) == 0 || row.Holders[0].Fence == fence {
				continue
			}
			if h := row.Holders[0]; h.Fence < fence {
				t.Errorf("fence %s follows %s", h.Fence, fence)
			} else {
				fence = h.Fence
				holds[h.PID]++
			}
		}
		if first == 0 {
			first = f.Now
		}
		cost = max(cost, f.Cost)
		if f.Now-first > 20_000 {
			break
		}
	}
	all := s.Stats(t).Since(before)
	t.Logf("in %v: holds by process %v; at most %d commands per second by the page; %d commands in total", time.Since(began), holds, cost, all.Requests())
	if len(holds) != 3 {
		t.Errorf("holds by process: %v", holds)
	}
	if n := eval[int](b, `strip.size`); n < 6 {
		t.Errorf("the strip has %d blocks", n)
	}
	if !*update {
		return
	}

	time.Sleep(40 * time.Second) // until the strip is full
	for name, actions := range map[string][]chromedp.Action{
		"ui.png":        {chromedp.EmulateViewport(1280, 700, chromedp.EmulateScale(1.5)), emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "light"}})},
		"ui-narrow.png": {chromedp.EmulateViewport(390, 844, chromedp.EmulateScale(2), chromedp.EmulateMobile), emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}})},
	} {
		var png []byte
		b.do(append(actions, chromedp.Sleep(time.Second), chromedp.CaptureScreenshot(&png))...)
		if err := os.WriteFile(filepath.Join("..", name), png, 0o644); err != nil {
			t.Error(err)
		}
	}
}
