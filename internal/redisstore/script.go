package redisstore

import (
	"context"
	"crypto/sha1"
	"embed"
	"encoding/hex"

	"github.com/redis/go-redis/v9"
)

//go:embed *.lua
var files embed.FS

// script is one .lua file, behind what all scripts of the mutex share.
type script struct{ text, sha string }

var (
	acquire = load("state.lua", "acquire.lua")
	yield   = load("state.lua", "yield.lua")
	release = load("state.lua", "release.lua")
	renew   = load("renew.lua")
)

func load(names ...string) *script {
	var text []byte
	for _, name := range names {
		part, err := files.ReadFile(name)
		if err != nil {
			panic(err) // embedded: it is there or the package does not build
		}
		text = append(text, part...)
	}
	sum := sha1.Sum(text)
	return &script{text: string(text), sha: hex.EncodeToString(sum[:])}
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

// run sends the script by its hash, and whole if the server does not know it.
func (s *script) run(ctx context.Context, rdb redis.UniversalClient, keys, args []any) (any, error) {
	cmd := s.command(ctx, "evalsha", s.sha, keys, args)
	_ = rdb.Process(ctx, cmd)
	if redis.HasErrorPrefix(cmd.Err(), "NOSCRIPT") {
		cmd = s.command(ctx, "eval", s.text, keys, args)
		_ = rdb.Process(ctx, cmd)
	}
	return cmd.Val(), cmd.Err()
}
