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
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

// A viewer serves a page, and sends requests to it.
type viewer struct {
	*testing.T
	page *page
	host string
}

func view(t *testing.T, rdb *redis.Client, filter string) *viewer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	v := &viewer{t, newPage(rdb, l.Addr().String(), filter), l.Addr().String()}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- v.page.serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return v
}

func (v *viewer) request(method, path string, body io.Reader, header ...string) (*http.Response, string) {
	v.Helper()
	r, err := http.NewRequestWithContext(v.Context(), method, "http://"+v.host+path, body)
	if err != nil {
		v.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, ExpectContinueTimeout: time.Minute}}
	if r.ContentLength > 1<<20 {
		// Send the whole body, like an attacker. The connection may break, because the server does not read it.
		if a, err := client.Do(r.Clone(v.Context())); err == nil {
			a.Body.Close()
		}
		r.Header.Set("Expect", "100-continue") // then ask first, so that the reply can be read
		r.Body = io.NopCloser(bytes.NewReader(nil))
	}
	a, err := client.Do(r)
	if err != nil {
		v.Fatal(err)
	}
	defer a.Body.Close()
	text, _ := io.ReadAll(a.Body) // an error page may be truncated
	return a, string(text)
}

// events opens the stream, and returns its frames until the test ends.
func (v *viewer) events(key string) <-chan frame {
	v.Helper()
	r, _ := http.NewRequestWithContext(v.Context(), "GET", "http://"+v.host+"/events?key="+key, nil)
	a, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		v.Fatal(err)
	}
	if a.StatusCode != http.StatusOK || a.Header.Get("Content-Type") != "text/event-stream" {
		v.Fatalf("%s, %s", a.Status, a.Header)
	}
	frames := make(chan frame)
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
	return frames
}

// A pageState is the state of a page after its frames so far.
type pageState struct {
	frame
	rows map[string]rowView
}

// until reads frames until ok returns true.
func (v *viewer) until(p *pageState, frames <-chan frame, desc string, ok func() bool) {
	v.Helper()
	limit := time.After(30 * time.Second)
	for p.rows == nil || !ok() {
		select {
		case f, open := <-frames:
			if !open {
				v.Fatalf("the stream ended before: %s", desc)
			}
			if p.frame = f; f.Reset {
				p.rows = map[string]rowView{}
			}
			for _, r := range f.Rows {
				p.rows[r.Name] = r
			}
			for _, id := range f.Gone {
				for name, r := range p.rows {
					if r.ID == id {
						delete(p.rows, name)
					}
				}
			}
		case <-limit:
			v.Fatalf("timed out waiting for: %s; the page has %+v", desc, p.rows)
		}
	}
}

func (p *pageState) holder(name string) string {
	if r := p.rows[name]; len(r.Holders) > 0 {
		return r.Holders[0].Label
	}
	return ""
}

func idOf(name string) string { return base64.RawURLEncoding.EncodeToString([]byte(name)) }

// TestUIShowsEachKind shows a key of each kind, and follows a lock through a hand-over.
func TestUIShowsEachKind(t *testing.T) {
	s := redistest.Start(t)
	v := view(t, s.Client(t), "*")
	s.PutTypes(t)
	rdb := s.Client(t)
	a, b := mutex.New(rdb, "orders"), mutex.New(s.Client(t), "orders")
	a.Label, b.Label = "a", "b"
	rw, sem := mutex.NewRW(rdb, "catalog/1"), semaphore.NewWeighted(rdb, "slots", 5)
	rw.RLock()
	defer rw.RUnlock()
	if err := sem.Acquire(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	defer sem.Release(3)
	semaphore.NewLimiter(rdb, "mails", 0.001, 5).AllowN(3)
	la, err := a.LockContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	frames := v.events(idOf("orders"))
	var p pageState
	v.until(&p, frames, "four keys", func() bool { return len(p.rows) == 4 })
	if h := p.rows["orders"].Holders[0]; h.Label != "a" || h.PID == 0 || h.Fence == "" || h.Until <= p.Now || h.TTL > mutex.DefaultTTL.Milliseconds() {
		t.Errorf("%+v", h)
	}
	if r := p.rows["catalog/1"]; r.Kind != isRWMutex || r.Holders[0].As != "for reading" {
		t.Errorf("%+v", r)
	}
	if r := p.rows["slots"]; r.Kind != isSemaphore || r.Holders[0].As != "3 permits" || r.Detail != "3 of 5 permits" {
		t.Errorf("%+v", r)
	}
	if r := p.rows["mails"]; r.Kind != isLimiter || r.Limiter.Burst != 5 || r.Limiter.Limit != 0.001 || r.Limiter.Empty > p.Now-1_900_000 || r.Limiter.Empty < p.Now-2_100_000 {
		t.Errorf("%+v", r.Limiter)
	}
	c := b.LockChan(t.Context())
	v.until(&p, frames, "b waits", func() bool { return len(p.rows["orders"].Queue) == 1 && p.rows["orders"].Queue[0].Label == "b" })
	first := p.rows["orders"].Holders[0].Fence
	if err := la.Unlock(); err != nil {
		t.Error(err)
	}
	lb := (<-c).Lease
	var blocks []blockView
	v.until(&p, frames, "b holds it", func() bool {
		blocks = append(blocks, p.Strip...)
		return p.holder("orders") == "b"
	})
	if r := p.rows["orders"]; r.Rate == 0 || r.Waiters != 0 || r.Holders[0].Fence <= first {
		t.Errorf("%+v after the fence %s", r, first)
	}
	if last := blocks[len(blocks)-1]; last.Name != "b" || !last.Open || last.ID != 1 {
		t.Errorf("the last block is %+v", last)
	}
	if err := lb.Unlock(); err != nil {
		t.Error(err)
	}
	v.until(&p, frames, "the row is removed", func() bool { _, ok := p.rows["orders"]; return !ok })
}

// TestUIShowsElections follows an election from one leader to the next. Its row never shows a mutex.
func TestUIShowsElections(t *testing.T) {
	s := redistest.Start(t)
	v := view(t, s.Client(t), "*")
	a, b := mutex.NewElection(s.Client(t), "leader"), mutex.NewElection(s.Client(t), "leader")
	a.Label, a.Value, b.Label, b.Value = "a", "10.0.0.1", "b", "10.0.0.2"
	term, err := a.Campaign(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	frames := v.events(idOf("leader"))
	var p pageState
	leads := func(label, value string) func() bool {
		return func() bool {
			r, shown := p.rows["leader"]
			if shown && r.Kind != isElection {
				t.Errorf("the page shows %+v", r)
			}
			return p.holder("leader") == label && r.Detail == "value "+value
		}
	}
	v.until(&p, frames, "a leads", leads("a", a.Value))
	next := b.CampaignChan(t.Context())
	v.until(&p, frames, "b waits", func() bool { return p.rows["leader"].Waiters == 1 })
	if err := term.Resign(); err != nil {
		t.Error(err)
	}
	v.until(&p, frames, "b leads", leads("b", b.Value))
	if err := (<-next).Term.Resign(); err != nil {
		t.Error(err)
	}
}

func TestUIFilter(t *testing.T) {
	s := redistest.Start(t)
	v := view(t, s.Client(t), "a/*")
	rdb := s.Client(t)
	for _, key := range []string{"a/b/c", "b/a/", "c"} {
		m := mutex.New(rdb, key)
		m.Lock()
		defer m.Unlock()
	}
	var p pageState
	v.until(&p, v.events(""), "one key", func() bool { return len(p.rows) == 1 && p.rows["a/b/c"].ID != "" })
	if p.Found != 1 {
		t.Errorf("%d keys are found", p.Found)
	}
}

// TestUIShowsAnOutage kills Redis, and restarts it.
func TestUIShowsAnOutage(t *testing.T) {
	s := redistest.Start(t)
	v := view(t, s.Client(t), "*")
	m := mutex.New(s.Client(t), "key")
	m.Lock()
	frames := v.events("")
	var p pageState
	v.until(&p, frames, "Redis is up", func() bool { return p.Down == nil && len(p.rows) == 1 })
	s.Kill()
	v.until(&p, frames, "the page shows the outage", func() bool { return p.Down != nil && p.Down.Since > 0 && strings.Contains(p.Down.Error, "refused") })
	if len(p.rows) != 1 {
		t.Errorf("the page lost its rows: %v", p.rows)
	}
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	other := mutex.New(s.Client(t), "other")
	other.Lock()
	defer other.Unlock()
	v.until(&p, frames, "Redis is back", func() bool { return p.Down == nil && p.rows["other"].ID != "" && p.rows["key"].ID == "" })
}

// TestUIRefuses sends malicious and malformed requests.
func TestUIRefuses(t *testing.T) {
	s := redistest.Start(t)
	v := view(t, s.Client(t), "*")
	large := func() io.Reader { return bytes.NewReader(make([]byte, 10<<20)) }
	unsized := func() io.Reader { return io.MultiReader(strings.NewReader("x")) }
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
		"a body of unknown length":      {"GET", "/", unsized(), nil, 413},
		"a body of 10 MB by POST":       {"POST", "/", large(), nil, 405},
	} {
		a, text := v.request(c.method, c.path, c.body, c.header...)
		if a.StatusCode != c.want {
			t.Errorf("%s: %s, %s", desc, a.Status, text)
		}
		if policy := a.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'; ") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: the policy is %q", desc, policy)
		}
		if a.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: other sites may read the reply", desc)
		}
	}
	if a, _ := v.request("GET", "/", nil, "Long", strings.Repeat("x", 64<<10)); a.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("a long header: %s", a.Status)
	}
}

// TestUIBoundsConnections opens 500 connections. Those above the limit are closed, and the open stream
// continues.
func TestUIBoundsConnections(t *testing.T) {
	s := redistest.Start(t)
	v := view(t, s.Client(t), "*")
	frames := v.events("")
	var p pageState
	v.until(&p, frames, "a frame", func() bool { return true })
	refused := make(chan bool, 500)
	var conns []net.Conn
	for range 500 {
		c, err := net.Dial("tcp", v.host)
		if err != nil {
			refused <- true
			continue
		}
		conns = append(conns, c)
		go func() {
			_, err := c.Read(make([]byte, 1))
			var timeout net.Error
			refused <- !errors.As(err, &timeout) || !timeout.Timeout() // a timeout means that the test has closed the connection
		}()
	}
	closed := 0
	for range 500 - (maxConns - 1) {
		if <-refused {
			closed++
		}
	}
	if closed != 500-(maxConns-1) {
		t.Errorf("%d of 500 connections are closed at once", closed)
	}
	m := mutex.New(s.Client(t), "key")
	m.Lock()
	defer m.Unlock()
	v.until(&p, frames, "the stream continues", func() bool { return p.rows["key"].ID != "" })
	for _, c := range conns {
		_ = c.SetDeadline(time.Now())
		_ = c.Close()
	}
	redistest.Eventually(t, 10*time.Second, func() bool {
		c, err := net.Dial("tcp", v.host)
		if err != nil {
			return false
		}
		defer c.Close()
		_, _ = io.WriteString(c, "HEAD / HTTP/1.0\r\nHost: localhost\r\n\r\n")
		text, _ := io.ReadAll(c)
		return strings.Contains(string(text), " 200 ")
	}, "the server accepts connections again")
}

// TestUIBoundsStreams opens the maximum number of pages, and one more.
func TestUIBoundsStreams(t *testing.T) {
	s := redistest.Start(t)
	v := view(t, s.Client(t), "*")
	for range maxStreams {
		<-v.events("")
	}
	if a, _ := v.request("GET", "/events", nil); a.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("one page more: %s", a.Status)
	}
}

// TestUIRelease releases a lock only with the token, and only if the holder has not changed.
func TestUIRelease(t *testing.T) {
	s := redistest.Start(t)
	v := view(t, s.Client(t), "*")
	secret := v.page.allowRelease()
	m := mutex.New(s.Client(t), "key")
	l, err := m.LockContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	token := mutexStatus(t, m).Holders[0].Token
	s.Do(t, "SET", "string", "value")
	post := func(want int, key, token, secret string, header ...string) {
		t.Helper()
		text, _ := json.Marshal(releaseRequest{idOf(key), []string{token}, secret})
		if header == nil {
			header = []string{"Origin", "http://" + v.host, "Content-Type", "application/json"}
		}
		if a, output := v.request("POST", "/release", bytes.NewReader(text), header...); a.StatusCode != want {
			t.Errorf("%s, want %d: %s", a.Status, want, output)
		}
	}
	post(403, "key", token, secret, "Content-Type", "application/json")                                      // not from a page
	post(403, "key", token, secret, "Origin", "http://"+v.host, "Content-Type", "text/plain")                // from a form
	post(403, "key", token, secret, "Origin", "http://attacker.example", "Content-Type", "application/json") // from another site
	post(403, "key", token, "guess")
	post(403, "key", token, "")
	post(400, "string", "value", secret) // not a lock
	post(400, "", token, secret)
	post(409, "key", token+"x", secret)
	if !mutexStatus(t, m).Held() || s.Do(t, "EXISTS", "string") != int64(1) {
		t.Fatal("a rejected request removed a key")
	}
	a, _ := v.request("POST", "/release", bytes.NewReader(make([]byte, 10<<20)), "Origin", "http://"+v.host, "Content-Type", "application/json")
	if a.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("10 MB: %s", a.Status)
	}
	post(204, "key", token, secret)
	if mutexStatus(t, m).Held() {
		t.Error("the lock is still held")
	}
	if err := l.Unlock(); !errors.Is(err, mutex.ErrLost) {
		t.Error(err)
	}
}

// TestUINamesAreText uses names with HTML, JSON, invalid UTF-8 and the end of a script. The page gets
// them as text, and the stream stays valid.
func TestUINamesAreText(t *testing.T) {
	s := redistest.Start(t)
	v := view(t, s.Client(t), "*")
	rdb := s.Client(t)
	names := map[string]string{
		"<script>alert(1)</script>": "<script>alert(1)</script>", "a\n\ndata: {}\n\n": `a\n\ndata: {}\n\n`,
		"\xff\xfe": `\xff\xfe`, `"};x={"`: `"};x={"`, "a\u202eb": `a\u202eb`,
	}
	for key := range names {
		m := mutex.New(rdb, key)
		m.Label = key
		m.Lock()
		defer m.Unlock()
	}
	var p pageState
	v.until(&p, v.events(""), "all rows", func() bool { return len(p.rows) == len(names) })
	for key, name := range names {
		if r := p.rows[name]; r.ID != idOf(key) || r.Holders[0].Label != name {
			t.Errorf("%q: %+v", key, r)
		}
	}
	if _, text := v.request("GET", "/", nil); strings.Contains(text, "innerHTML") || strings.Contains(text, "insertAdjacent") || strings.Contains(text, "http://") && strings.Count(text, "http://") > strings.Count(text, "http://www.w3.org/2000/svg") {
		t.Error("the page inserts text as HTML, or loads a resource from another site")
	}
}

// TestUICost counts the commands of the page. A closed page sends none. With 1,000 locks among 100,000
// keys, an open page sends at most 200 Inspect requests per second, and the steps of the scans.
func TestUICost(t *testing.T) {
	s := redistest.Start(t)
	v := view(t, s.Client(t), "*")
	rdb := s.Client(t)
	before := s.Stats(t)
	v.request("GET", "/", nil)
	if cost := s.Stats(t).Since(before); cost.Requests() > 0 {
		t.Errorf("a page that is not open costs %d requests", cost.Requests())
	}
	frames := v.events("")
	var p pageState
	maxCost := func(keys string) (cost int64) {
		t.Helper()
		for range 5 { // polls
			now := p.Now
			v.until(&p, frames, "a poll", func() bool { return p.Now-now > pollInterval.Milliseconds() })
			cost = max(cost, p.Cost)
		}
		t.Logf("%s: at most %d commands per second", keys, cost)
		return cost
	}
	for range 4 {
		m := mutex.New(rdb, "few:"+time.Now().String())
		m.Lock()
		defer m.Unlock()
	}
	v.until(&p, frames, "four rows", func() bool { return len(p.rows) == 4 })
	redistest.CheckCount(t, "commands per second for 4 keys", maxCost("4 locks"), 40)
	s.Do(t, "EVAL", "for i = 1, 100000 do redis.call('SET', 'cache:' .. i, 'x') end", 0)
	pipe := rdb.Pipeline()
	for i := range 1000 {
		pipe.Set(t.Context(), "many:"+string(rune('a'+i%26))+time.Duration(i).String(), "baton:600000:host:1:p:"+time.Duration(i).String(), time.Hour)
		pipe.Set(t.Context(), "baton:{many:"+string(rune('a'+i%26))+time.Duration(i).String()+"}:fence", i, time.Hour)
	}
	if _, err := pipe.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	v.until(&p, frames, "the maximum number of rows", func() bool { return len(p.rows) == maxShown && p.Hidden > 0 })
	steps := int64(companionSteps + plainSteps*(1+2*2*plainCount))
	redistest.CheckCount(t, "commands per second for 1,000 locks among 100,000 keys", maxCost("1,000 locks among 100,000 keys"), 3*maxShown+steps)
}
