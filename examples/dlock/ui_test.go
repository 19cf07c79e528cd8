package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

// A viewer serves a page, sends requests to it, and has the state of the page that it opened last.
type viewer struct {
	*testing.T
	page   *page
	host   string
	client http.Client
	stream <-chan frame
	frame
	rows map[string]rowView
}

func view(t *testing.T, s *redistest.Server, filter string) *viewer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	host := l.Addr().String()
	v := &viewer{T: t, page: newPage(s.Client(t), host, filter), host: host, client: http.Client{Transport: &http.Transport{DisableKeepAlives: true, ExpectContinueTimeout: time.Minute}}}
	v.page.board.interval = 100 * time.Millisecond
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- v.page.serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		check(t, <-served)
	})
	return v
}

// request returns the response and its text. A body is sent if the server asks for it.
func (v *viewer) request(method, path string, body io.Reader, header ...string) (*http.Response, string) {
	v.Helper()
	r, err := http.NewRequestWithContext(v.Context(), method, "http://"+v.host+path, body)
	check(v.T, err)
	if body != nil {
		r.Header.Set("Expect", "100-continue")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	r.Host = r.Header.Get("Host")
	a, err := v.client.Do(r)
	check(v.T, err)
	defer a.Body.Close()
	text, _ := io.ReadAll(a.Body) // an error page may be truncated
	return a, string(text)
}

// open opens the page. The stream ends with the test.
func (v *viewer) open(key string) {
	v.Helper()
	r, _ := http.NewRequestWithContext(v.Context(), "GET", "http://"+v.host+"/events?key="+idOf(key), nil)
	a, err := v.client.Do(r)
	check(v.T, err)
	if a.StatusCode != http.StatusOK || a.Header.Get("Content-Type") != "text/event-stream" {
		v.Fatalf("%s, %s", a.Status, a.Header)
	}
	frames := make(chan frame)
	v.stream = frames
	go func() {
		defer close(frames)
		defer a.Body.Close()
		lines := bufio.NewScanner(a.Body)
		lines.Buffer(nil, 10<<20)
		for lines.Scan() {
			text, ok := strings.CutPrefix(lines.Text(), "data: ")
			if !ok {
				continue
			}
			var f frame
			if err := json.Unmarshal([]byte(text), &f); err != nil {
				v.Error(err)
			}
			select {
			case frames <- f:
			case <-v.Context().Done():
				return
			}
		}
	}()
	v.next()
}

// next applies the next frame.
func (v *viewer) next() {
	v.Helper()
	select {
	case f, open := <-v.stream:
		if !open {
			v.Fatal("the stream has ended")
		}
		if v.frame = f; f.Reset {
			v.rows = map[string]rowView{}
		}
		for _, r := range f.Rows {
			v.rows[r.Name] = r
		}
		for _, id := range f.Gone {
			for name, r := range v.rows {
				if r.ID == id {
					delete(v.rows, name)
				}
			}
		}
	case <-time.After(redistest.Patience):
		v.Fatalf("there is no frame; the page has %+v", v.rows)
	}
}

// until reads frames until ok returns true.
func (v *viewer) until(desc string, ok func() bool) {
	v.Helper()
	for end := time.Now().Add(redistest.Patience); !ok(); v.next() {
		if time.Now().After(end) {
			v.Fatalf("timed out waiting for: %s; the page has %+v", desc, v.rows)
		}
	}
}

func (v *viewer) has(name string) bool { return v.rows[name].ID != "" }

func (v *viewer) holder(name string) string {
	if r := v.rows[name]; len(r.Holders) > 0 {
		return r.Holders[0].Label
	}
	return ""
}

func idOf(name string) string { return base64.RawURLEncoding.EncodeToString([]byte(name)) }

// labelled returns a lock of another process, which has the label.
func labelled(t *testing.T, s *redistest.Server, name, label string) *mutex.Mutex {
	m := mutex.New(s.Client(t), name)
	m.Label = label
	return m
}

// TestUIShowsEachKind shows a key of each kind, follows a lock through a hand-over, and shows an outage.
func TestUIShowsEachKind(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	v := view(t, s, "*")
	s.PutTypes(t)
	rdb := s.Client(t)
	a, b := labelled(t, s, "orders", "a"), labelled(t, s, "orders", "b")
	rw, sem := mutex.NewRW(rdb, "catalog/1"), semaphore.NewWeighted(rdb, "slots", 5)
	rw.RLock()
	check(t, sem.Acquire(t.Context(), 3))
	semaphore.NewLimiter(rdb, "mails", 0.001, 5).AllowN(3)
	a.Lock()
	v.open("orders")
	v.until("four keys", func() bool { return len(v.rows) == 4 })
	first := v.rows["orders"].Holders[0]
	if first.Label != "a" || first.PID == 0 || first.Fence == "" || first.Until <= v.Now || first.TTL > mutex.DefaultTTL.Milliseconds() {
		t.Errorf("%+v", first)
	}
	if r := v.rows["catalog/1"]; r.Kind != isRWMutex || r.Holders[0].As != "for reading" {
		t.Errorf("%+v", r)
	}
	if r := v.rows["slots"]; r.Kind != isSemaphore || r.Holders[0].As != "3 permits" || r.Detail != "3 of 5 permits" {
		t.Errorf("%+v", r)
	}
	if r := v.rows["mails"]; r.Kind != isLimiter || r.Limiter.Burst != 5 || r.Limiter.Limit != 0.001 || r.Limiter.Empty > v.Now-1_900_000 || r.Limiter.Empty < v.Now-2_100_000 {
		t.Errorf("%+v", r.Limiter)
	}
	c := b.LockChan(t.Context())
	v.until("b waits", func() bool { return len(v.rows["orders"].Queue) == 1 && v.rows["orders"].Queue[0].Label == "b" })
	a.Unlock()
	lb := (<-c).Lease
	var blocks []blockView
	v.until("b holds it after a hand-over", func() bool {
		blocks = append(blocks, v.Strip...)
		return v.holder("orders") == "b" && v.rows["orders"].Rate > 0
	})
	if r := v.rows["orders"]; r.Waiters != 0 || r.Holders[0].Fence <= first.Fence {
		t.Errorf("%+v after the fence %s", r, first.Fence)
	}
	if last := blocks[len(blocks)-1]; last.Name != "b" || !last.Open || last.ID != 1 {
		t.Errorf("the last block is %+v", last)
	}
	check(t, lb.Unlock())
	v.until("the row is removed", func() bool { return !v.has("orders") })

	s.Kill()
	v.until("the page shows the outage", func() bool { return v.Down != nil && v.Down.Since > 0 && v.Down.Error != "" })
	if len(v.rows) != 3 {
		t.Errorf("the page lost its rows: %v", v.rows)
	}
	check(t, s.Restart())
	defer lock(t, s, "other").Unlock()
	v.until("Redis is back", func() bool { return v.Down == nil && v.has("other") && !v.has("slots") })
}

// TestUIStripWithoutMessages: without hand-over messages, the hold of a lock with waiters lasts until the
// next hold starts, and not only until the last poll that has seen it.
func TestUIStripWithoutMessages(t *testing.T) {
	r, first := newRow("key"), time.UnixMilli(1_800_000_000_000)
	next := first.Add(pollInterval / 2)
	r.applyStatus(status{Kind: isMutex, Holders: []holder{{Owner: mutex.Owner{Token: "a"}, Fence: 1}}, Waiters: 1}, first, 0)
	r.applyStatus(status{Kind: isMutex, Holders: []holder{{Owner: mutex.Owner{Token: "b"}, Fence: next.UnixMicro() * 1024}}}, first.Add(pollInterval), 0)
	if a, b := r.strip[0], r.strip[1]; a.Open || a.To != next.UnixMilli() || b.From != next.UnixMilli() || !b.Open {
		t.Errorf("%+v is followed by %+v", a, b)
	}
}

// TestUIShowsElections follows an election from one leader to the next. Its row never shows a mutex.
func TestUIShowsElections(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	v := view(t, s, "*")
	v.page.board.interval = pollInterval // the hand-over is shown before the next poll
	a, b := mutex.NewElection(s.Client(t), "leader"), mutex.NewElection(s.Client(t), "leader")
	a.Label, a.Value, b.Label, b.Value = "a", "10.0.0.1", "b", "10.0.0.2"
	term, err := a.Campaign(t.Context())
	check(t, err)
	v.open("leader")
	untilLeads := func(e *mutex.Election) {
		t.Helper()
		v.until(e.Label+" leads", func() bool {
			r := v.rows["leader"]
			if v.has("leader") && r.Kind != isElection {
				t.Errorf("the page shows %+v", r)
			}
			return v.holder("leader") == e.Label && r.Detail == "value "+e.Value
		})
	}
	untilLeads(a)
	next := b.CampaignChan(t.Context())
	v.until("b waits", func() bool { return v.rows["leader"].Waiters == 1 })
	check(t, term.Resign())
	untilLeads(b)
	check(t, (<-next).Term.Resign())
}

// TestUIRefuses sends malicious and malformed requests.
func TestUIRefuses(t *testing.T) {
	t.Parallel()
	v := view(t, redistest.Start(t), "*")
	large := func() io.Reader { return bytes.NewReader(make([]byte, 10<<20)) }
	for desc, c := range map[string]struct {
		method, path string
		body         io.Reader
		header       []string
		want         int
	}{
		"the page":                      {"GET", "/", nil, nil, 200},
		"the page by a link":            {"GET", "/", nil, []string{"Sec-Fetch-Site", "cross-site"}, 200},
		"localhost":                     {"GET", "/", nil, []string{"Host", "localhost:7070"}, 200},
		"IPv6":                          {"GET", "/", nil, []string{"Host", "[::1]:7070"}, 200},
		"HEAD":                          {"HEAD", "/events", nil, nil, 200},
		"another Host":                  {"GET", "/", nil, []string{"Host", "attacker.example"}, 421},
		"another Host for events":       {"GET", "/events", nil, []string{"Host", "attacker.example:7070"}, 421},
		"an address of another machine": {"GET", "/", nil, []string{"Host", "10.1.2.3"}, 421},
		"another Origin":                {"GET", "/events", nil, []string{"Origin", "http://attacker.example"}, 403},
		"an opaque Origin":              {"GET", "/events", nil, []string{"Origin", "null"}, 403},
		"another site":                  {"GET", "/events", nil, []string{"Sec-Fetch-Site", "cross-site"}, 403},
		"another port of the same host": {"GET", "/events", nil, []string{"Sec-Fetch-Site", "same-site"}, 403},
		"another path":                  {"GET", "/favicon.ico", nil, nil, 404},
		"a path with ..":                {"GET", "/../etc/passwd", nil, nil, 404},
		"a release that is not allowed": {"POST", "/release", strings.NewReader("{}"), nil, 404},
		"another method":                {"POST", "/", nil, nil, 405},
		"another method for events":     {"DELETE", "/events", nil, nil, 405},
		"a body of 10 MB":               {"GET", "/", large(), nil, 413},
		"a body of 10 MB for events":    {"GET", "/events", large(), nil, 413},
		"a body of unknown length":      {"GET", "/", io.MultiReader(strings.NewReader("x")), nil, 413},
		"a body of 10 MB by POST":       {"POST", "/", large(), nil, 405},
		"a long header":                 {"GET", "/", nil, []string{"Long", strings.Repeat("x", 64<<10)}, 431},
	} {
		a, text := v.request(c.method, c.path, c.body, c.header...)
		if a.StatusCode != c.want {
			t.Errorf("%s: %s, %s", desc, a.Status, text)
		}
		if policy := a.Header.Get("Content-Security-Policy"); c.want != 431 && (!strings.Contains(policy, "default-src 'none'; ") || strings.Contains(policy, "unsafe")) {
			t.Errorf("%s: the policy is %q", desc, policy)
		}
		if a.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: other sites may read the reply", desc)
		}
	}
	_, text := v.request("GET", "/", nil)
	if strings.Contains(text, "innerHTML") || strings.Contains(text, "insertAdjacent") || strings.Count(text, "http://") > strings.Count(text, "http://www.w3.org/2000/svg") {
		t.Error("the page inserts text as HTML, or loads a resource from another site")
	}
}

// TestUIBoundsConnections opens the maximum number of pages, and one more. Then it opens 500
// connections. Those above the limit are closed, and the open stream continues.
func TestUIBoundsConnections(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	v := view(t, s, "*")
	for range maxStreams {
		v.open("")
	}
	if a, _ := v.request("GET", "/events", nil); a.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("one page more: %s", a.Status)
	}
	replied, enough := make(chan bool), make(chan struct{})
	for range 500 {
		go func() {
			n := 0
			c, err := net.Dial("tcp", v.host)
			if err == nil {
				defer c.Close()
				_, _ = io.WriteString(c, "HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n")
				n, _ = c.Read(make([]byte, 1))
			}
			replied <- n == 1
			<-enough
		}()
	}
	served := 0
	for range 500 {
		if <-replied {
			served++
		}
	}
	if served == 0 || served > maxConns-maxStreams {
		t.Errorf("%d of 500 connections are served", served)
	}
	defer lock(t, s, "key").Unlock()
	v.until("the stream continues", func() bool { return v.has("key") })
	close(enough)
	redistest.Eventually(t, redistest.Patience, func() bool {
		a, err := v.client.Head("http://" + v.host + "/")
		if err == nil {
			a.Body.Close()
		}
		return err == nil && a.StatusCode == http.StatusOK
	}, "the server accepts connections again")
}

// TestUIRelease releases a lock only with the token, and only if the holder has not changed.
func TestUIRelease(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	v := view(t, s, "*")
	secret := v.page.allowRelease()
	l := lock(t, s, "key")
	token := mutexStatus(t, s, "key").Holders[0].Token
	s.Do(t, "SET", "string", "value")
	post := func(want int, key, token, secret, origin, content string) {
		t.Helper()
		text, _ := json.Marshal(releaseRequest{idOf(key), []string{token}, secret})
		if a, output := v.request("POST", "/release", bytes.NewReader(text), "Origin", origin, "Content-Type", content); a.StatusCode != want {
			t.Errorf("%s, want %d: %s", a.Status, want, output)
		}
	}
	origin, content := "http://"+v.host, "application/json"
	post(403, "key", token, secret, "", content)          // not from a page
	post(403, "key", token, secret, origin, "text/plain") // from a form
	post(403, "key", token, secret, "http://attacker.example", content)
	post(403, "key", token, "guess", origin, content)
	post(403, "key", token, "", origin, content)
	post(400, "string", "value", secret, origin, content) // not a lock
	post(400, "", token, secret, origin, content)
	post(409, "key", token+"x", secret, origin, content)
	post(413, "key", strings.Repeat("x", 10<<20), secret, origin, content)
	if !mutexStatus(t, s, "key").Held() || s.Do(t, "EXISTS", "string") != int64(1) {
		t.Fatal("a rejected request removed a key")
	}
	post(204, "key", token, secret, origin, content)
	if mutexStatus(t, s, "key").Held() {
		t.Error("the lock is still held")
	}
	if err := l.Unlock(); !errors.Is(err, mutex.ErrLost) {
		t.Error(err)
	}
}

// TestUINamesAreText uses names with HTML, JSON, invalid UTF-8 and the end of a script. The page gets
// them as text, and the stream stays valid. The filter hides other names.
func TestUINamesAreText(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	v := view(t, s, "a/*")
	names := map[string]string{
		"a/<script>alert(1)</script>": "a/<script>alert(1)</script>", "a/\n\ndata: {}\n\n": `a/\n\ndata: {}\n\n`,
		"a/\xff\xfe": `a/\xff\xfe`, `a/"};x={"`: `a/"};x={"`, "a/\u202e/b": `a/\u202e/b`,
	}
	for _, key := range []string{"b/a/", "c"} {
		defer lock(t, s, key).Unlock()
	}
	for key := range names {
		m := labelled(t, s, key, key)
		m.Lock()
		defer m.Unlock()
	}
	v.open("")
	v.until("all rows", func() bool { return len(v.rows) >= len(names) })
	for key, name := range names {
		if r := v.rows[name]; r.ID != idOf(key) || r.Holders[0].Label != name {
			t.Errorf("%q: %+v", key, r)
		}
	}
	if len(v.rows) != len(names) || v.Found != len(names) {
		t.Errorf("%d of %d keys are shown", len(v.rows), v.Found)
	}
}

// TestUICost counts the commands of the page. A closed page sends none. With 1,000 locks among 100,000
// keys, an open page sends at most 200 Inspect requests per poll, and the steps of the scans.
func TestUICost(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	v := view(t, s, "*")
	before := s.Stats(t)
	v.request("GET", "/", nil)
	if cost := s.Stats(t).Since(before); cost.Requests() > 0 {
		t.Errorf("a page that is not open costs %d requests", cost.Requests())
	}
	v.open("")
	checkCost := func(keys string, bound int64) {
		t.Helper()
		cost := int64(0)
		for range 5 { // frames, each after a poll
			v.next()
			cost = max(cost, v.Cost)
		}
		redistest.CheckCount(t, "commands per poll for "+keys, cost, bound)
	}
	for i := range 4 {
		defer lock(t, s, strconv.Itoa(i)).Unlock()
	}
	v.until("four rows", func() bool { return len(v.rows) == 4 })
	checkCost("4 locks", 40)
	s.Do(t, "EVAL", `for i = 1, 100000 do redis.call('SET', 'cache:' .. i, 'x') end
		for i = 1, 1000 do
			redis.call('SET', 'many:' .. i, 'baton:600000:host:1:p:' .. i, 'EX', 3600)
			redis.call('SET', 'baton:{many:' .. i .. '}:fence', i, 'EX', 3600)
		end`, 0)
	v.until("the maximum number of rows", func() bool { return len(v.rows) == 200 && v.Hidden > 0 })
	checkCost("1,000 locks among 100,000 keys", 3*200+companionSteps+plainSteps*(1+2*2*plainCount))
}
