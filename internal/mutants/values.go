package main

// values breaks the values stored with a mutex: of a Once, of a Flight and of a leader.
var values = []mutant{
	{"reading-of-a-late-grant", "a Once uses a mark that it read with a grant that arrived too late", "internal/lease/value.go",
		`if fence != r.fenceBase*FencesPerGrant {`, `if false {`, "mutex", "TestOnceReadsAgainAfterALateGrant"},
	{"value-lower-fence", "a late copy of an earlier lease's request replaces the value", "internal/redisstore/lib/value.lua",
		`if lower and us`, `if false and us`, "internal/redisstore", "TestValueOfALowerFenceIsRefused"},
	{"value-after-loss", "a runner that has lost the mutex stores its mark", "internal/redisstore/lib/value.lua",
		`if owner ~= ARGV[1] then return 0 end`, ``, "internal/redisstore", "TestValueIsWrittenByTheHolder"},
	{"value-after-deletion", "a run that started before Reset or Forget stores the deleted value", "internal/redisstore/lib/value.lua",
		`if (v[1] or '') ~= ARGV[4] then return -2 end`, ``, "internal/redisstore", "TestDeletedValueIsNotRestoredByTheHolder"},
	{"value-waiters-sleep", "a waiter for a value detects it only by polling", "internal/redisstore/value_release.lua",
		`  if ARGV[12] == '1' then wake_waiters(`, `  if false then wake_waiters(`, "internal/redisstore", "TestValueWakesTheWaiters"},
	{"value-garbled", "a damaged mark stops every run", "internal/redisstore/lib/value_load.lua",
		`then v[7] = false end`, `then end`, "internal/redisstore", "TestGarbledValue"},
	{"value-garbled-fence", "a damaged fence refuses every later value", "internal/redisstore/lib/value.lua",
		`if not is_integer(stored, 19) then`, `if false then`, "internal/redisstore", "TestGarbledValue"},
	{"once-of-a-flight", "a Once is done because a Flight has a value", "mutex/once.go",
		`start[0] == '+'`, `start == ""`, "mutex", "TestOnceOfAForeignValue"},
	{"every-from-the-end", "the interval of a Once counts from the end of the run", "mutex/once.go",
		`w.Fresh, w.FreshSince = o.Every, begun.Now`, `w.Fresh = o.Every`, "mutex", "TestOnceEveryCountsFromTheStart"},
	{"resign-leaves-value", "the value of a resigned leader stays", "internal/redisstore/value_clear.lua",
		`redis.call('DEL', KEYS[2])`, ``, "mutex", "TestElection"},
}
