package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/redis/go-redis/v9"
)

// unlock removes a lock, whose holder then loses it.
func unlock(args []string) error {
	f := flags("unlock", "dlock unlock -force [-yes] NAME")
	force := f.Bool("force", false, "confirm that the holder may still be working, and notices the loss only later")
	yes := f.Bool("yes", false, "do not ask for confirmation")
	err := parseArgs(f, args, 1, 1)
	switch {
	case err != nil:
		return err
	case !*force:
		return fail(exitUsage, "unlock removes the lock while its holder may still be working: use -force")
	case !*yes && !interactive():
		return fail(exitUsage, "no terminal for the confirmation: use -yes")
	}
	name, ctx := f.Arg(0), context.Background()
	rdb, err := connect(ctx)
	if err != nil {
		return err
	}
	defer rdb.Close()
	s, err := inspectKey(ctx, rdb, name)
	switch {
	case err != nil:
		return err
	case s.Kind == isWaitGroup, s.Kind == isLimiter:
		return fail(exitUsage, "%q is a %s, which has no holder", name, s.Kind)
	case len(s.Holders) == 0:
		fmt.Printf("%q is not held\n", name)
		return nil
	}
	fmt.Printf("%q (%s) is held by\n", name, s.Kind)
	for _, h := range s.Holders {
		fmt.Printf("  %v\n", h)
	}
	if !*yes && !confirmed() {
		return fail(1, "%q is unchanged", name)
	}
	if err := forceRelease(ctx, rdb, name, s.tokens()); err != nil {
		return err
	}
	fmt.Printf("%q is released. Its former holder notices at the next renewal, within a third of its TTL, and may work until then.\n", name)
	return nil
}

// confirmed asks for confirmation on the terminal.
func confirmed() bool {
	fmt.Print("The holder may still be working. Release the lock? [yes/no] ")
	answer, _ := bufio.NewReader(os.Stdin).ReadString('\n') // an error counts as no
	return strings.TrimSpace(answer) == "yes"
}

// removeScript removes a lock only if the holders that were shown still hold it.
// KEYS  the lock
// ARGV  tokens
var removeScript = redis.NewScript(`
if redis.call('TYPE', KEYS[1]).ok == 'string' then
  if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
else
  for _, token in ipairs(ARGV) do
    if redis.call('HEXISTS', KEYS[1], token) == 0 then return 0 end
  end
end
return redis.call('DEL', KEYS[1])`)

func (s status) tokens() (tokens []string) {
	for _, h := range s.Holders {
		tokens = append(tokens, h.Token)
	}
	return tokens
}

func forceRelease(ctx context.Context, rdb *redis.Client, name string, tokens []string) error {
	args := make([]any, len(tokens))
	for i, token := range tokens {
		args[i] = token
	}
	removed, err := removeScript.Run(ctx, rdb, []string{name}, args...).Int()
	switch {
	case err != nil:
		return fail(exitUnavailable, "%w", err)
	case removed == 0:
		return fail(1, "%q is unchanged, because its holder has changed", name)
	}
	return nil
}
