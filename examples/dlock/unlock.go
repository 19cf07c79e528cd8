package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/redis/go-redis/v9"
)

// unlock takes a lock away from its holder, which then loses it.
func unlock(args []string) error {
	f := flags("unlock", "dlock unlock -force [-yes] NAME")
	force := f.Bool("force", false, "I know that the holder may be at work, and continues until it notices")
	yes := f.Bool("yes", false, "do not ask")
	if err := f.Parse(args); err != nil {
		return misused(err)
	}
	switch {
	case f.NArg() != 1 || f.Arg(0) == "":
		return fail(exitUsage, "unlock takes one NAME")
	case !*force:
		return fail(exitUsage, "unlock takes the lock away from its holder, which may be at work: use -force")
	case !*yes && !interactive():
		return fail(exitUsage, "no terminal to ask: use -yes")
	}
	name, ctx := f.Arg(0), context.Background()
	rdb, err := connect(ctx)
	if err != nil {
		return err
	}
	defer rdb.Close()
	s, err := look(ctx, rdb, name)
	switch {
	case err != nil:
		return err
	case s.Kind == isWaitGroup, s.Kind == isLimiter:
		return fail(exitUsage, "%q is a %s, which nobody holds", name, s.Kind)
	case len(s.Holders) == 0:
		fmt.Printf("nobody holds %q\n", name)
		return nil
	}
	fmt.Printf("%q (%s) is held by\n", name, s.Kind)
	for _, h := range s.Holders {
		fmt.Printf("  %v\n", h)
	}
	if !*yes && !confirmed() {
		return fail(1, "%q is unchanged", name)
	}
	if err := end(ctx, rdb, name, s.tokens()); err != nil {
		return err
	}
	fmt.Printf("%q is taken away. Its holder notices at its next renewal, within a third of its TTL, and may be at work until then.\n", name)
	return nil
}

// confirmed asks at the terminal.
func confirmed() bool {
	fmt.Print("The holder may be at work. Take the lock away? [yes/no] ")
	answer, _ := bufio.NewReader(os.Stdin).ReadString('\n') // no answer is a no
	return strings.TrimSpace(answer) == "yes"
}

// removal removes a lock if the holders that were shown still have it, and no other: nobody was
// asked about the next holder.
// KEYS  the lock
// ARGV  tokens
var removal = redis.NewScript(`
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

func end(ctx context.Context, rdb *redis.Client, name string, tokens []string) error {
	args := make([]any, len(tokens))
	for i, token := range tokens {
		args[i] = token
	}
	removed, err := removal.Run(ctx, rdb, []string{name}, args...).Int()
	switch {
	case err != nil:
		return fail(exitUnavailable, "%w", err)
	case removed == 0:
		return fail(1, "%q has another holder by now, and is unchanged", name)
	}
	return nil
}
