package main

// permitScripts breaks the scripts of the reader/writer lock and the semaphore.
var permitScripts = []mutant{
	{"update-number", "an overtaken request counts", "internal/redisstore/permits_update.lua",
		`if live_hold and seq <= live_hold.last_seq or queued and seq <= queued.seq then`, `if false then`, "internal/redisstore", "TestUpdateRequests"},
	{"update-want", "a grant for an earlier want counts for the present one", "internal/redisstore/permits_update.lua",
		`local granted = want > 0 and live_hold ~= nil and live_hold.want_seq == want_seq`, `local granted = want > 0 and live_hold ~= nil`, "internal/redisstore", "TestUpdateRequests"},
	{"crossed-hand-over", "a request takes back permits of a hand-over that its process does not know yet", "internal/redisstore/permits_update.lua",
		`keep + (granted and live_hold.granted or 0))`, `keep)`, "internal/redisstore", "TestUpdateRequests"},
	{"keeps-by-difference", "a request is a difference, so each copy releases permits again", "internal/redisstore/permits_update.lua",
		`local kept = math.min(live_hold.weight, keep + (granted and live_hold.granted or 0))`, `local kept = math.max(live_hold.weight - math.max(live_hold.granted - keep, 0), 0)`,
		"internal/redisstore", "TestUpdateRequests"},
	{"keeps-what-is-lost", "a process that has lost its permits gets no reply of the loss when it states that it keeps them", "internal/redisstore/permits_update.lua",
		`if keep > 0 and (not live_hold or live_hold.weight < keep) then return {-1, 0, 0, 0, 0} end`, ``, "internal/redisstore", "TestUpdateRequests"},
	{"small-passes-large", "a semaphore grants a small request before a large one that waits", "internal/redisstore/permits_update.lua",
		`elseif queue_len == 0 and used + want <= size then`, `elseif (queue_len == 0 or kind == 's') and used + want <= size then`, "internal/redisstore", "TestUpdateRequests"},
	{"reader-passes-writer", "a waiting writer does not keep new readers out", "internal/redisstore/permits_update.lua",
		`elseif queue_len == 0 and used + want <= size then`, `elseif (queue_len == 0 or kind == 'r') and used + want <= size then`, "internal/redisstore", "TestReadersAndWriters"},
	{"writer-notice-unsent", "readers get no notice of a waiting writer", "internal/redisstore/permits_update.lua",
		`if kind == 'r' and queue_len == 1 then unnotified = index_len end`, ``, "internal/redisstore", "TestContentionNotice"},
	{"one-is-granted", "a release grants only the first waiter, however many permits are free", "internal/redisstore/lib/permits.lua",
		`if token ~= self or n.seq == 0 then notifications[#notifications + 1] = n end`, `notifications[#notifications + 1] = n
      return false`, "internal/redisstore", "TestPermitsOfOneReleaseGoToMany"},
	{"permits-stale-not-skipped", "a stale entry is granted permits", "internal/redisstore/lib/permits.lua",
		`live = tonumber(seen_at) > ms - WAITER_TTL,`, `live = true,`, "internal/redisstore", "TestPermitsSkipWaitersThatCannotBeGranted"},
	{"too-large-blocks", "a waiter that wants more than the new size stays at the head of the queue", "internal/redisstore/lib/permits.lua",
		`elseif e.want <= size and used + e.want > size then`, `elseif used + e.want > size then`, "internal/redisstore", "TestPermitsSkipWaitersThatCannotBeGranted"},
	{"overcommitted", "one permit too many is granted", "internal/redisstore/lib/permits.lua",
		`elseif e.want <= size and used + e.want > size then`, `elseif e.want <= size and used + e.want > size + 1 then`, "internal/redisstore", "TestUpdateRequests"},
	{"hand-over-shortens", "a hand-over shortens the existing hold", "internal/redisstore/lib/permits.lua",
		`h.weight + h.granted, math.max(h.expires, ms + ttl), e.ttl`, `h.weight + h.granted, ms + ttl, e.ttl`, "internal/redisstore", "TestUpdateRequests"},
	{"permits-fence-by-counter", "a fence restarts when its counter was lost", "internal/redisstore/lib/permits.lua",
		`last_base = next_fence(last_base)`, `last_base = last_base + 1`, "internal/redisstore", "TestPermitsFencesGrow"},
	{"purge-trusts-zset", "a renewed hold ends at the time in the sorted set", "internal/redisstore/lib/permits.lua",
		`    if h and h.expires > ms then
      redis.call`, `    if false then
      redis.call`, "internal/redisstore", "TestUpdateRequests"},
	{"permits-clock-set-back", "a hold lives until the clock catches up after it was set back", "internal/redisstore/lib/permits.lua",
		`if ms + 1000 < written_at or cursor == '0'`, `if cursor == '0'`, "internal/redisstore", "TestClockSetBackAfterARenewal"},
	{"permits-publish-must-succeed", "a release fails if it cannot publish", "internal/redisstore/lib/permits.lua",
		`publish(n.channel`, `redis.call('PUBLISH', n.channel`, "internal/redisstore", "TestHandOverWithoutPermissionToPublish"},
	{"permits-type-unchecked", "the type of the queue is not checked before the first write", "internal/redisstore/lib/permits.lua",
		`if type(queue_len) == 'table' then return wrap_type_error('queue', queue_len) end`, `if type(queue_len) == 'table' then queue_len = 0 end`,
		"internal/redisstore", "TestPermitsSiblingOfAnotherType"},
	{"permits-release-grants-nobody", "a release grants permits to no waiter", "internal/redisstore/permits_release.lua",
		`if grant_waiters() then owned = owned + 2 end
`, ``, "internal/redisstore", "TestPermitsOfOneReleaseGoToMany"},
	{"permits-leave-keeps-entry", "a canceled waiter stays in the queue", "internal/redisstore/permits_release.lua",
		`if entries_len > 0 then leave_queue(self) end
if grant_waiters()`, `if grant_waiters()`, "internal/redisstore", "TestUpdateRequests"},
	{"permits-renew-revives", "renewal revives an expired hold", "internal/redisstore/permits_renew.lua",
		` or tonumber(expires) <= ms then return 0 end`, ` then return 0 end`, "internal/redisstore", "TestPermitsRenew"},
	{"resize-grants-nobody", "a resize grants permits to no waiter", "internal/redisstore/permits_resize.lua",
		`local left = grant_waiters()
`, `local left = false
`, "internal/redisstore", "TestSizes"},
	{"size-unchecked", "a process that expects another size gets permits", "internal/redisstore/permits_update.lua",
		`(size and expected_size ~= size and expected_size ~= declared_size or want > (size or expected_size))`, `want > (size or expected_size)`, "internal/redisstore", "TestSizes"},
	{"permits-notice-unsent", "the first waiter does not notify the holders that want to know", "internal/redisstore/permits_update.lua",
		`if redis.call('ZRANGE', queue, 0, 0)[1] == self then`, `if false then`, "internal/redisstore", "TestFirstWaiterNotifiesTheHolders"},
	{"permits-out-of-memory", "a release of permits fails when Redis is out of memory", "internal/redisstore/permits_update.lua",
		`if live_hold then
  redis.call('PEXPIRE', main, integer(key_ttl))
elseif queued then`, `if live_hold then
elseif queued then`, "internal/redisstore", "TestPermitsOutOfMemory"},
}
