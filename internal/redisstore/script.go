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

//go:embed *.lua
var files embed.FS

// script is one .lua file, with the files that it includes.
type script struct{ text, sha string }

var (
	acquire    = load("acquire.lua")
	yield      = load("yield.lua")
	release    = load("release.lua")
	renew      = load("renew.lua")
	together   = load("together.lua")
	releaseAll = load("release_all.lua")

	permitsAsk     = load("permits_ask.lua")
	permitsRelease = load("permits_release.lua")
	permitsRenew   = load("permits_renew.lua")
	permitsResize  = load("permits_resize.lua")
)

var include = regexp.MustCompile(`(?m)^--include (.*)\n`)

func load(name string) *script {
	text := expand(name)
	sum := sha1.Sum([]byte(text))
	return &script{text: text, sha: hex.EncodeToString(sum[:])}
}

// expand is the file with what it includes, and what that includes.
func expand(name string) string {
	return include.ReplaceAllStringFunc(read(name), func(line string) string {
		return expand(include.FindStringSubmatch(line)[1])
	})
}

func read(name string) string {
	text, err := files.ReadFile(name)
	if err != nil {
		panic(err) // embedded: it is there or the package does not build
	}
	return string(text)
}

// once is a command that go-redis sends one time only. Its own retries would
// run a script again without a new request number, and longer than we asked.
type once struct{ *redis.Cmd }

func (once) NoRetry() bool { return true }

func (o once) Clone() redis.Cmder { return once{o.Cmd.Clone().(*redis.Cmd)} }

func (s *script) command(ctx context.Context, name, body string, keys, args []any) once {
	all := make([]any, 0, 3+len(keys)+len(args))
	all = append(all, name, body, len(keys))
	all = append(all, keys...)
	all = append(all, args...)
	return once{redis.NewCmd(ctx, all...)}
}

// A road leads to where commands are executed.
type road interface {
	Process(ctx context.Context, cmd redis.Cmder) error
}

// run sends the script by its hash, and whole if the server does not know it.
func (s *script) run(ctx context.Context, to road, keys, args []any) (any, error) {
	cmd := s.command(ctx, "evalsha", s.sha, keys, args)
	_ = to.Process(ctx, cmd)
	if wantsText(cmd.Err()) {
		cmd = s.command(ctx, "eval", s.text, keys, args)
		_ = to.Process(ctx, cmd)
	}
	return cmd.Val(), cmd.Err()
}

// wantsText reports whether a server that does not run a script by its hash may run it by its
// text: it does not know the script, or, behind some proxies, the command.
func wantsText(err error) bool {
	var reply redis.Error
	if !errors.As(err, &reply) {
		return false
	}
	text := strings.ToLower(reply.Error())
	unknown := strings.Contains(text, "unknown command") || strings.Contains(text, "unsupported command")
	return redis.HasErrorPrefix(err, "NOSCRIPT") || unknown && strings.Contains(text, "evalsha")
}
