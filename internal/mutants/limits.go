package main

// limits breaks the rate limiter.
var limits = []mutant{
	{"limit-repeated", "a reservation that is repeated takes tokens again", "internal/redisstore/limiter.lua",
		`if record then
  local due_at`, `if record and string.match(record, '^refunded') then
  local due_at`, "internal/redisstore", "TestLimitRepeated"},
	{"limit-late-copy", "a copy of a request that comes after its tokens were given back takes tokens", "internal/redisstore/limiter.lua",
		`if record then
  local due_at`, `if record and record ~= 'refunded' then
  local due_at`, "internal/redisstore", "TestLimitRepeated"},
	{"limit-keeps", "what a reservation took is not given back", "internal/redisstore/limiter.lua",
		`  taken = taken - refund
`, ``, "internal/redisstore", "TestReserve/CancelLast"},
	{"limit-others-turns", "a refund moves the times of later waiters", "internal/redisstore/limiter.lua",
		`tonumber(m) - math.max(taken - tonumber(t), 0) or 0`, `tonumber(m) or 0`, "internal/redisstore", "TestReserve/Cancel0Tokens"},
	{"limit-burst", "one more than the burst is let through at once", "internal/redisstore/limiter.lua",
		`taken + n - burst, 0`, `taken + n - burst - 1, 0`, "internal/redisstore", "TestReserve/SimpleReserve"},
	{"limit-drift", "each decision rounds what is left of the one before", "internal/redisstore/limiter.lua",
		`if clock_went_back or stored.rate ~= ARGV[2] then`, `if true then`, "internal/redisstore", "TestLimitDoesNotDrift"},
	{"limit-clock-set-back", "nothing is allowed for as long as the server's clock was set back", "internal/redisstore/lib/limiter.lua",
		`clock_went_back = us < stored.written_at`, `clock_went_back = false`, "internal/redisstore", "TestLimiterJumpBackwards"},
	{"limit-finished", "a reservation is named as finished although a request got no reply", "internal/ratelimit/wait.go",
		`r.answered, r.repeated = requests == 1, requests > 1`, `r.answered = true`, "internal/ratelimit", "TestFinishedNamesAnsweredReservations"},
	{"limit-caller-ctx", "tokens are given back under the caller's ctx, which has ended", "internal/retry/backlog.go",
		`context.WithoutCancel(c.ctx)`, `c.ctx`, "internal/ratelimit", "TestWaitRefunds"},
	{"limit-too-late", "a wait that would exceed its deadline keeps its tokens", "internal/ratelimit/wait.go",
		`			_ = r.refund(ctx, store)
		}
		return r, 0, retry.Wrap(r.Op, r.Key, fmt`, `		}
		return r, 0, retry.Wrap(r.Op, r.Key, fmt`, "internal/ratelimit", "TestWaitTooLate"},
	{"limit-unreceived", "tokens that nobody has received when ctx ends are lost", "internal/ratelimit/pending.go",
		`cancelled := p.state == waiting || p.sink.Revoke()`, `cancelled := p.state == waiting`, "internal/ratelimit", "TestWaitRefunds"},
}
