package main

// limits breaks the rate limiter.
var limits = []mutant{
	{"limit-repeated", "a repeated reservation takes tokens again", "internal/redisstore/limiter.lua",
		`if record then`, `if record and string.match(record, '^refunded') then`, "internal/redisstore", "TestLimitRepeated"},
	{"limit-late-copy", "a late copy of a refunded reservation takes tokens", "internal/redisstore/limiter.lua",
		`if record then`, `if record and record ~= 'refunded' then`, "internal/redisstore", "TestLimitRepeated"},
	{"limit-keeps", "a canceled reservation is not refunded", "internal/redisstore/limiter.lua",
		`taken = taken - refund`, ``, "internal/redisstore", "TestReserve/CancelLast"},
	{"limit-others-turns", "a refund changes the times of later waiters", "internal/redisstore/limiter.lua",
		`tonumber(m) - math.max(taken - tonumber(t), 0) or 0`, `tonumber(m) or 0`, "internal/redisstore", "TestReserve/Cancel0Tokens"},
	{"limit-burst", "one event more than the burst is allowed at once", "internal/redisstore/limiter.lua",
		`taken + n - burst, 0`, `taken + n - burst - 1, 0`, "internal/redisstore", "TestReserve/SimpleReserve"},
	{"limit-drift", "each decision rounds the remaining tokens", "internal/redisstore/limiter.lua",
		`if clock_went_back or stored.rate ~= ARGV[2] then`, `if true then`, "internal/redisstore", "TestLimitDoesNotDrift"},
	{"limit-clock-set-back", "no event is allowed until the server's clock catches up after it was set back", "internal/redisstore/lib/limiter.lua",
		`clock_went_back = us < stored.written_at`, `clock_went_back = false`, "internal/redisstore", "TestLimiterJumpBackwards"},
	{"limit-finished", "a reservation without a reply is reported as finished", "internal/ratelimit/wait.go",
		`r.answered, r.repeated = requests == 1, requests > 1`, `r.answered = true`, "internal/ratelimit", "TestFinishedNamesAnsweredReservations"},
	{"limit-caller-ctx", "tokens are refunded under the caller's done ctx", "internal/retry/backlog.go",
		`context.WithoutCancel(c.ctx)`, `c.ctx`, "internal/ratelimit", "TestWaitRefunds"},
	{"limit-too-late", "a wait that would exceed its deadline keeps its tokens", "internal/ratelimit/wait.go",
		`if result.Taken {`, `if false {`, "internal/ratelimit", "TestWaitTooLate"},
	{"limit-unreceived", "tokens that are not received when ctx is done are lost", "internal/ratelimit/pending.go",
		`cancelled := p.state == waiting || p.sink.Revoke()`, `cancelled := p.state == waiting`, "internal/ratelimit", "TestWaitRefunds"},
}
