package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

//go:embed ui.html
var html string

// A page is the handler of all requests. Its paths are /, /events and /release.
type page struct {
	rdb      *redis.Client
	board    *board
	loopback bool   // the page listens on loopback only
	host     string // of -addr; allowed in the Host header
	secret   string // required to release a lock; "" means that the page is read-only
	policy   string
}

func newPage(rdb *redis.Client, addr, filter string) *page {
	host, _, _ := net.SplitHostPort(addr)
	ip := net.ParseIP(host)
	return &page{
		rdb: rdb, board: newBoard(rdb, filter), host: host, loopback: host == "localhost" || ip != nil && ip.IsLoopback(),
		policy: "default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'" +
			"; style-src " + inline("style") + "; script-src " + inline("script"),
	}
}

// inline returns the hash of an element of the page, for the Content-Security-Policy.
func inline(element string) string {
	_, text, _ := strings.Cut(html, "<"+element+">")
	text, _, _ = strings.Cut(text, "</"+element+">")
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

func (p *page) allowRelease() (secret string) {
	p.secret, p.board.release = rand.Text(), true
	return p.secret
}

// maxBody is the maximum size of a request body.
const maxBody = 64 << 10

func (p *page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", p.policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	method := map[string]string{"/": "GET", "/events": "GET"}
	if p.secret != "" {
		method["/release"] = "POST"
	}
	want := method[r.URL.Path]
	switch {
	case !p.allowedHost(r.Host):
		http.Error(w, "the Host header does not name this page", http.StatusMisdirectedRequest)
	case !sameOrigin(r):
		http.Error(w, "the request comes from another site", http.StatusForbidden)
	case want == "":
		http.NotFound(w, r)
	case r.Method != want && (want != "GET" || r.Method != "HEAD"):
		h.Set("Allow", want)
		http.Error(w, "the method must be "+want, http.StatusMethodNotAllowed)
	case want == "GET" && r.ContentLength != 0, r.ContentLength > maxBody:
		h.Set("Connection", "close") // the rest of the body is not read
		http.Error(w, "the body is too large", http.StatusRequestEntityTooLarge)
	case r.URL.Path == "/":
		h.Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte(html))
	case r.URL.Path == "/events":
		p.events(w, r)
	default:
		p.release(w, r)
	}
}

// allowedHost rejects the names of other sites. An attacker can make such a name resolve to this
// machine (DNS rebinding).
func (p *page) allowedHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	ip := net.ParseIP(host)
	switch {
	case host == "localhost":
		return true
	case p.loopback:
		return ip != nil && ip.IsLoopback()
	}
	return ip != nil || host != "" && strings.EqualFold(host, p.host)
}

// sameOrigin reports whether the request comes from the page itself, or from no page. Other sites
// may link to the page.
func sameOrigin(r *http.Request) bool {
	origin, site := r.Header.Get("Origin"), r.Header.Get("Sec-Fetch-Site")
	if _, host, _ := strings.Cut(origin, "://"); origin != "" && !strings.EqualFold(host, r.Host) {
		return false
	}
	return r.URL.Path == "/" || site == "" || site == "same-origin" || site == "none"
}

// events streams changes. The query names the key whose holds the page shows.
func (p *page) events(w http.ResponseWriter, r *http.Request) {
	if r.Method == "HEAD" {
		return
	}
	s, err := p.board.subscribe(r.URL.Query().Get("key"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	defer p.board.unsubscribe(s)
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	_ = out.SetReadDeadline(time.Time{}) // the request is read
	idle := time.NewTicker(15 * time.Second)
	defer idle.Stop()
	for text := "retry: 1000\n\n"; ; {
		_ = out.SetWriteDeadline(time.Now().Add(10 * time.Second))
		if _, err := w.Write([]byte(text)); err != nil || out.Flush() != nil {
			return
		}
		select {
		case frame, ok := <-s.frames:
			if !ok { // the client was too slow
				return
			}
			text = "data: " + string(frame) + "\n\n" // JSON has no line break
		case <-idle.C:
			text = ":\n\n"
		case <-r.Context().Done():
			return
		}
	}
}

// A releaseRequest releases a lock if it still has the holders that the page has shown.
type releaseRequest struct {
	ID     string   `json:"id"`
	Tokens []string `json:"tokens"`
	Secret string   `json:"secret"`
}

func (p *page) release(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Origin") == "" || r.Header.Get("Content-Type") != "application/json" {
		http.Error(w, "only the page itself can do this", http.StatusForbidden)
		return
	}
	var req releaseRequest
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&req); err != nil {
		http.Error(w, "the body must be JSON", http.StatusBadRequest)
		return
	}
	name, err := base64.RawURLEncoding.DecodeString(req.ID)
	switch {
	case subtle.ConstantTimeCompare([]byte(req.Secret), []byte(p.secret)) != 1:
		select { // slows guessing; the token has 128 random bits
		case <-time.After(time.Second):
		case <-r.Context().Done():
		}
		http.Error(w, "wrong token; dlock ui prints the token on its terminal", http.StatusForbidden)
		return
	case err != nil || len(name) == 0 || len(req.Tokens) == 0 || slices.ContainsFunc(req.Tokens, func(token string) bool { return !strings.HasPrefix(token, "baton:") }):
		http.Error(w, "the request must name a lock and its holders", http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), connectTimeout)
	defer cancel()
	err = forceRelease(ctx, p.rdb, string(name), req.Tokens)
	var f *failure
	switch {
	case errors.As(err, &f) && f.status == 1:
		http.Error(w, err.Error(), http.StatusConflict)
	case err != nil:
		http.Error(w, err.Error(), http.StatusBadGateway)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}
