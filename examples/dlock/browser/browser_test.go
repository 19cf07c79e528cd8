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

func TestMain(m *testing.M) { redistest.Main(m, nil) }

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// build returns the program of an example.
func build(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
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
	check(t, err)
	check(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	})
	return bufio.NewReader(out)
}

// A tab is a page in Chromium. A JavaScript exception or a message on the console fails the test.
type tab struct {
	*testing.T
	chrome context.Context
	token  string // releases locks
}

// open opens a path of dlock ui.
func open(t *testing.T, s *redistest.Server, path string) *tab {
	t.Helper()
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is not installed")
	}
	out := start(t, s, build(t, "dlock"), "ui", "-addr", "127.0.0.1:0", "-allow-release")
	var url, token string
	if _, err := fmt.Fscanf(out, "%s shows the locks on Redis at "+s.Addr()+"\nthe token to release a lock is %s\n", &url, &token); err != nil {
		t.Fatal(err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(chromium), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.Flag("force-prefers-reduced-motion", true))
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
	b := &tab{t, ctx, token}
	b.do(log.Enable(), chromedp.EmulateViewport(1280, 700), chromedp.Navigate(url+path))
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

// until waits until an expression is true, and logs the delay.
func (b *tab) until(desc, js string) {
	b.Helper()
	var text string
	from := time.Now()
	redistest.Eventually(b.T, redistest.Patience, func() bool {
		if eval[bool](b, js) {
			return true
		}
		text = eval[string](b, `document.body.innerText`)
		return false
	}, "%s: the page has %v", desc, &text)
	b.Logf("%s after %v", desc, time.Since(from).Round(time.Millisecond))
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
	check(t, err)
	return l
}

// TestRowsFollowTheLock checks that a row follows a real lock, and that an outage is shown.
func TestRowsFollowTheLock(t *testing.T) {
	s := redistest.Start(t)
	b := open(t, s, "")
	b.until("the page is empty", `!document.getElementById("empty").hidden && document.getElementById("state").textContent === "live"`)
	l := lock(t, s, "orders", "api-1")
	b.until("the row appears", held("orders", "api-1"))
	other := mutex.New(s.Client(t), "orders")
	other.Label = "api-2"
	wait := other.LockChan(t.Context())
	b.until("the waiter appears", row("orders")+`.querySelector(".queue .label")?.textContent === "api-2"`)
	check(t, l.Unlock())
	l = (<-wait).Lease
	b.until("the new holder appears", held("orders", "api-2")+` && !`+row("orders")+`.querySelector(".queue .h")`)
	if got, want := eval[string](b, row("orders")+`.querySelector(".fence").textContent`), fmt.Sprint(l.Fence()); got != want {
		t.Errorf("the fence is %s, want %s", got, want)
	}
	if left := eval[float64](b, `+`+row("orders")+`.querySelector(".bar i").style.transform.match(/[\d.]+/)[0]`); left <= 0 || left > 1 {
		t.Errorf("the bar shows %v", left)
	}
	check(t, l.Unlock())
	b.until("the row disappears", `!`+row("orders"))

	_ = lock(t, s, "before", "a")
	b.until("the row appears", held("before", "a"))
	s.Kill()
	b.until("the page shows the outage", `document.getElementById("banner").textContent.startsWith("Redis has not replied since") && document.getElementById("main").className === "stale"`)
	if !eval[bool](b, held("before", "a")) {
		t.Error("the page lost its rows")
	}
	check(t, s.Restart())
	defer lock(t, s, "after", "b").Unlock()
	b.until("the page recovers", held("after", "b")+` && !`+row("before")+` && getComputedStyle(document.getElementById("banner")).display === "none"`)
}

// TestControls uses a key and a label with HTML, searches, sorts, changes the theme, opens a key with
// the keyboard, and releases it with the token.
func TestControls(t *testing.T) {
	s := redistest.Start(t)
	b := open(t, s, "")
	const script, image = `<script>window.pwned = 1</script>`, `<img src=x onerror="window.pwned = 1">`
	l := lock(t, s, script, image)
	for _, key := range []string{"a", "b", "c"} {
		defer lock(t, s, key, "holder of "+key).Unlock()
	}
	names := `[...document.querySelectorAll("tr.key .name")].map(e => e.textContent).join("")`
	all := fmt.Sprintf(names+` === %q`, script+"abc")
	b.until("four rows", all)
	b.do(chromedp.KeyEvent("/"))
	b.until("the search has the focus", `document.activeElement.id === "search"`)
	eval[any](b, `void (document.activeElement.value = "holder B", document.activeElement.dispatchEvent(new Event("input")))`)
	b.until("one row matches", names+` === "b"`)
	b.do(chromedp.KeyEvent(kb.Enter))
	b.until("the detail opens", row("b")+`.parentNode.querySelector("canvas")?.height > 40`)
	b.do(chromedp.KeyEvent(kb.Escape))
	b.until("all rows match", all)
	b.do(chromedp.KeyEvent("j"), chromedp.KeyEvent("t"))
	b.until("c is selected, and the theme is dark", row("c")+`.classList.contains("selected") && document.documentElement.style.colorScheme === "dark"`)
	b.do(chromedp.KeyEvent(kb.Escape))
	b.until("the detail closes", `!document.querySelector("tr.detail")`)
	mutex.New(s.Client(t), "c").LockChan(t.Context())
	b.do(chromedp.KeyEvent("s"))
	b.until("the key with a waiter is first", fmt.Sprintf(names+` === %q`, "c"+script+"ab"))
	b.do(emulation.SetDeviceMetricsOverride(390, 800, 1, true))
	if wide := eval[int](b, `document.scrollingElement.scrollWidth - innerWidth`); wide > 0 {
		t.Errorf("on a narrow screen, the page is %d pixels too wide", wide)
	}

	click := func(selector string) { eval[any](b, `void document.querySelector("`+selector+`").click()`) }
	eval[any](b, `void `+row(script)+`.click()`)
	b.until("the detail opens", `!!document.querySelector("tr.detail .danger") && document.querySelector("tr.detail .cols td .label")?.textContent === "`+strings.ReplaceAll(image, `"`, `\"`)+`"`)
	if n := eval[int](b, `document.querySelectorAll("main script, main img").length + (window.pwned ? 100 : 0)`); n != 0 {
		t.Errorf("the page inserted a name as HTML: %d", n)
	}
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
	submit(b.token)
	b.until("the lock is released", `!document.querySelector("dialog[open]") && !`+row(script))
	if err := l.Unlock(); !errors.Is(err, mutex.ErrLost) {
		t.Error(err)
	}
}

// TestScreenshots shows the holds of three processes of examples/handoff, and other locks. With -update,
// it writes the screenshots of the README.
func TestScreenshots(t *testing.T) {
	s := redistest.Start(t)
	handoff := build(t, "handoff")
	for range 3 {
		start(t, s, handoff, "-for", "0", "-live=false", "-workers", "2", "-hold", "1s", "-key", "orders:settle")
	}
	defer lock(t, s, "nightly:report", "cron: report.sh").Unlock()
	late := mutex.New(s.Client(t), "nightly:report")
	late.Label = "mia@pts/3: report.sh"
	late.LockChan(t.Context())
	for _, label := range []string{"web-1", "web-2"} {
		rw := mutex.NewRW(s.Client(t), "catalog")
		rw.Label = label
		rw.RLock()
		defer rw.RUnlock()
	}
	writer := mutex.NewRW(s.Client(t), "catalog")
	writer.Label = "importer"
	writer.LockChan(t.Context())
	exports := semaphore.NewWeighted(s.Client(t), "export:slots", 4)
	exports.Label = "export-7"
	check(t, exports.Acquire(t.Context(), 3))
	defer exports.Release(3)
	semaphore.NewLimiter(s.Client(t), "mails", 0.1, 40).AllowN(28)

	b := open(t, s, "/#b3JkZXJzOnNldHRsZQ") // the id of orders:settle
	b.until("the detail opens", `!!`+row("orders:settle")+`?.parentNode.querySelector("tr.detail")`)
	b.until("the holds are shown", `strip.size >= 6`)
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
		check(t, os.WriteFile(filepath.Join("..", name), png, 0o644))
	}
}
