package main

// permitScripts breaks what Redis does for the reader/writer lock and the semaphore.
var permitScripts = []mutant{
	{
		"statement-number", "a statement that has been overtaken counts",
		"internal/redisstore/permits_ask.lua", `if mine and n <= mine.seen or queued and n <= queued.n then`, `if false then`,
		"internal/redisstore", "TestUpdateRequests",
	},
	{
		"statement-order", "what was given for an earlier wish is taken for this one",
		"internal/redisstore/permits_ask.lua", `local granted = want > 0 and mine ~= nil and mine.order == order`, `local granted = want > 0 and mine ~= nil`,
		"internal/redisstore", "TestUpdateRequests",
	},
	{
		"crossed-hand-over", "a statement takes away what a hand-over gave that it had not heard of",
		"internal/redisstore/permits_ask.lua", `keep + (granted and mine.given or 0))`, `keep)`,
		"internal/redisstore", "TestUpdateRequests",
	},
	{
		"keeps-by-difference", "a statement is a difference: it takes off what it no longer keeps, each time",
		"internal/redisstore/permits_ask.lua", `local rest = math.min(mine.weight, keep + (granted and mine.given or 0))`,
		`local rest = math.max(mine.weight - math.max(mine.given - keep, 0), 0)`,
		"internal/redisstore", "TestPermitsModel/s_on_miniredis",
	},
	{
		"keeps-what-is-lost", "who has lost its permits is not told when it says that it keeps them",
		"internal/redisstore/permits_ask.lua", `if keep > 0 and (not mine or mine.weight < keep) then return {-1, 0, 0, 0, 0} end`, ``,
		"internal/redisstore", "TestUpdateRequests",
	},
	{
		"small-passes-large", "a semaphore lets a small request pass a large one that waits",
		"internal/redisstore/permits_ask.lua", `elseif waiting == 0 and used + want <= size then`, `elseif (waiting == 0 or kind == 's') and used + want <= size then`,
		"internal/redisstore", "TestUpdateRequests",
	},
	{
		"reader-passes-writer", "a waiting writer does not keep new readers out",
		"internal/redisstore/permits_ask.lua", `elseif waiting == 0 and used + want <= size then`, `elseif (waiting == 0 or kind == 'r') and used + want <= size then`,
		"internal/redisstore", "TestReadersAndWriters",
	},
	{
		"word-not-sent", "nobody tells readers that a writer waits",
		"internal/redisstore/permits_ask.lua", `if kind == 'r' and waiting == 1 then untold = held end`, ``,
		"internal/redisstore", "TestContentionNotice",
	},
	{
		"one-is-let-in", "a release lets in the first only, however much room there is",
		"internal/redisstore/permits.lua", `if token ~= self or m.n == 0 then told[#told + 1] = m end`, `told[#told + 1] = m
      return false`,
		"internal/redisstore", "TestPermitsOfOneReleaseGoToMany",
	},
	{
		"permits-dead-not-skipped", "a waiter that nobody has refreshed is let in",
		"internal/redisstore/permits.lua", `alive = ms - tonumber(seen) < ENTRY_LIFE}`, `alive = true}`,
		"internal/redisstore", "TestPermitsPassOverWhoCannotBeLetIn",
	},
	{
		"too-large-blocks", "who wants more than a resize has left stays at the head of the line",
		"internal/redisstore/permits.lua", `elseif e.want <= size and used + e.want > size then`, `elseif used + e.want > size then`,
		"internal/redisstore", "TestPermitsPassOverWhoCannotBeLetIn",
	},
	{
		"overcommitted", "one permit too many is given",
		"internal/redisstore/permits.lua", `elseif e.want <= size and used + e.want > size then`, `elseif e.want <= size and used + e.want > size + 1 then`,
		"internal/redisstore", "TestUpdateRequests",
	},
	{
		"hand-over-shortens", "a hand-over shortens the hold that there is",
		"internal/redisstore/permits.lua", `h.weight + h.given, math.max(h.expires, ms + ttl), e.ttl`, `h.weight + h.given, ms + ttl, e.ttl`,
		"internal/redisstore", "TestPermitsModel",
	},
	{
		"permits-fence-by-counter", "a fence starts anew when its counter was lost",
		"internal/redisstore/permits.lua", `last = math.max(last + 1, us)`, `last = last + 1`,
		"internal/redisstore", "TestPermitsFencesGrow",
	},
	{
		"purge-trusts-zset", "a hold that was renewed ends at the time that the zset has",
		"internal/redisstore/permits.lua", `    if h and h.expires > ms then
      redis.call`, `    if false then
      redis.call`,
		"internal/redisstore", "TestPermitsModel/s_on_miniredis",
	},
	{
		"permits-clock-set-back", "a hold lives on for as long as the clock was set back",
		"internal/redisstore/permits.lua", `if ms + 1000 < at or scan == '0'`, `if scan == '0'`,
		"internal/redisstore", "TestClockSetBackAfterARenewal",
	},
	{
		"permits-publish-must-succeed", "a release fails if it cannot publish",
		"internal/redisstore/permits.lua", `redis.pcall('PUBLISH', m.channel`, `redis.call('PUBLISH', m.channel`,
		"internal/redisstore", "TestPermitsWithoutPermissionToPublish",
	},
	{
		"permits-type-unchecked", "the type of the line is not checked before the first write",
		"internal/redisstore/permits.lua", `if type(waiting) == 'table' then return broken('line', waiting) end`, `if type(waiting) == 'table' then waiting = 0 end`,
		"internal/redisstore", "TestPermitsSiblingOfAnotherType",
	},
	{
		"permits-release-lets-nobody-in", "a release lets nobody in",
		"internal/redisstore/permits_release.lua", `if serve() then owned = owned + 2 end
`, ``,
		"internal/redisstore", "TestPermitsOfOneReleaseGoToMany",
	},
	{
		"permits-leave-keeps-entry", "who has cancelled stays in the line",
		"internal/redisstore/permits_release.lua", `if entered > 0 then leave(self) end
if serve()`, `if serve()`,
		"internal/redisstore", "TestUpdateRequests",
	},
	{
		"permits-renew-revives", "renewal revives a hold that has run out",
		"internal/redisstore/permits_renew.lua", ` or tonumber(expires) <= ms then return 0 end`, ` then return 0 end`,
		"internal/redisstore", "TestPermitsRenew",
	},
	{
		"resize-lets-nobody-in", "a resize lets nobody in",
		"internal/redisstore/permits_resize.lua", `local left = serve()
`, `local left = false
`,
		"internal/redisstore", "TestSizes",
	},
	{
		"size-unchecked", "who takes the semaphore for another size is let in",
		"internal/redisstore/permits_ask.lua", `(size and stated ~= size and stated ~= declared or want > (size or stated))`, `want > (size or stated)`,
		"internal/redisstore", "TestSizes",
	},
	{
		"permits-out-of-memory", "giving permits back fails when Redis is out of memory",
		"internal/redisstore/permits_ask.lua", `if mine then
  redis.call('PEXPIRE', main, number(life))
elseif queued then`, `if mine then
elseif queued then`,
		"internal/redisstore", "TestPermitsOutOfMemory",
	},
}
