package docs

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// rule returns the arguments of ACL SETUSER in the pages, beginning with the user's name.
func rule(t *testing.T) (words []any) {
	t.Helper()
	for _, block := range blocks(t, "text") {
		if args, ok := strings.CutPrefix(block, "ACL SETUSER "); ok {
			for word := range strings.FieldsSeq(args) {
				words = append(words, word)
			}
			return words
		}
	}
	t.Fatal("no page has a rule")
	return nil
}

// TestRightsAreUsed compares the commands of the rule with those of the scripts, and with the few
// commands outside of scripts.
func TestRightsAreUsed(t *testing.T) {
	want := []string{"+eval", "+evalsha", "+ping", "+subscribe", "+unsubscribe"}
	for _, m := range regexp.MustCompile(`redis\.p?call\('([A-Z]+)'`).FindAllStringSubmatch(readAll(t, "internal/redisstore/*.lua", "internal/redisstore/lib/*.lua"), -1) {
		if m[1] != "SPUBLISH" { // not in the rule, because Redis 6 does not have it
			want = append(want, "+"+strings.ToLower(m[1]))
		}
	}
	var got []string
	for _, word := range rule(t) {
		if strings.HasPrefix(word.(string), "+") {
			got = append(got, word.(string))
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if want = slices.Compact(want); !slices.Equal(got, want) {
		t.Errorf("redis.md allows\n%v, the library uses\n%v", got, want)
	}
}
