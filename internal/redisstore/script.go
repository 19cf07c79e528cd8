package redisstore

import (
	"context"
	"crypto/sha1"
	"embed"
	"encoding/hex"
	"errors"
	"regexp"
	"strings"

	"github.com/redis/go-redis/v9"
)

//go:embed *.lua lib/*.lua
var files embed.FS

// script is one .lua file, with the files that it includes.
type script struct {
	text, sha string
	hash      any // sha, ready to be an argument
}

var (
	mutexAcquire = load("mutex_acquire.lua")
	mutexYield   = load("mutex_yield.lua")
	mutexRelease = load("mutex_release.lua")
	mutexRenew   = load("mutex_renew.lua")

	permitsUpdate  = load("permits_update.lua")
	permitsRelease = load("permits_release.lua")
	permitsRenew   = load("permits_renew.lua")
	permitsResize  = load("permits_resize.lua")
)

var include = regexp.MustCompile(`(?m)^--include (.*)\n`)

func load(name string) *script { return newScript(expand(name, map[string]bool{})) }

func newScript(text string) *script {
	sum := sha1.Sum([]byte(text))
	sha := hex.EncodeToString(sum[:])
	return &script{text: text, sha: sha, hash: sha}
}

// expand returns the text of a file with the files that it includes, each once.
func expand(name string, included map[string]bool) string {
	if included[name] {
		return ""
	}
	included[name] = true
	return include.ReplaceAllStringFunc(read(name), func(line string) string {
		return expand(include.FindStringSubmatch(line)[1], included)
	})
}

func read(name string) string {
	text, err := files.ReadFile(name)
	if err != nil {
		panic(err) // embedded: it is there or the package does not build
	}
	return string(text)
}

// noRetryCmd is a command that go-redis sends one time only. Its own retries would
// run a script again without a new request number, and for longer than asked.
type noRetryCmd struct{ *redis.Cmd }

func (noRetryCmd) NoRetry() bool { return true }

func (c noRetryCmd) Clone() redis.Cmder { return noRetryCmd{c.Cmd.Clone().(*redis.Cmd)} }

func (s *script) command(ctx context.Context, name, body any, keys, args []any) noRetryCmd {
	all := make([]any, 0, 3+len(keys)+len(args))
	all = append(all, name, body, len(keys))
	all = append(all, keys...)
	all = append(all, args...)
	return noRetryCmd{redis.NewCmd(ctx, all...)}
}

// wantsText reports whether a server that does not run a script by its hash may run it by its
// text: it does not know the script, or, behind some proxies, the command.
func wantsText(err error) bool {
	if err == nil { // before reply, which escapes
		return false
	}
	var reply redis.Error
	if !errors.As(err, &reply) {
		return false
	}
	text := strings.ToLower(reply.Error())
	unknown := strings.Contains(text, "unknown command") || strings.Contains(text, "unsupported command")
	return redis.HasErrorPrefix(err, "NOSCRIPT") || unknown && strings.Contains(text, "evalsha")
}
