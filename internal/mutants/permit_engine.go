package main

// permitEngine breaks what a process believes of the permits that it has.
var permitEngine = []mutant{
	{
		"lowering-unsaid", "permits that a process gives up are not given back before it ends",
		"internal/lease/holding.go", `(c.known > c.weight || c.want == 0 && c.entered)`, `(c.want == 0 && c.entered)`,
		"internal/lease", "TestReleasesAtOnce",
	},
	{
		"debt-forgiven", "permits whose release was refused for a while stay with the process in Redis",
		"internal/lease/ask.go", `		return errand{} // the next`, `		c.known, c.entered = c.weight, false
		return errand{} // the next`,
		"internal/lease", "TestRefusedForAWhile",
	},
	{
		"given-up-unsaid", "an order that was given up, and may have been met, is forgotten",
		"internal/lease/holding.go", `(c.known > c.weight || c.want == 0 && c.entered)`, `c.known > c.weight`,
		"internal/lease", "TestGivenUpAnswerLost",
	},
	{
		"part-kept", "permits that a lease gives back stay with its process until all are",
		"internal/lease/holding.go", `} else if c.weight = use; use == 0 {`, `} else if use == 0 {
		c.weight = 0`,
		"internal/lease", "TestLoweringGivenUp",
	},
	{
		"gone-in-an-earlier-hold", "what an answer says of an earlier hold ends the present one",
		"internal/lease/holding.go", `r.Keep > 0 && c.weight > 0 && r.N > c.began`, `r.Keep > 0 && c.weight > 0`,
		"internal/lease", "TestLoweringOfEarlierHold",
	},
	{
		"window-of-an-earlier-hold", "an answer to an earlier hold's statement moves the window of the present one",
		"internal/lease/ask.go", `r.Keep > 0 && r.N > c.began)`, `r.Keep > 0)`,
		"internal/lease", "TestWindowOfEarlierHold",
	},
	{
		"answers-cross", "an answer that comes after a later one counts",
		"internal/lease/ask.go", `if r.N > c.acked {`, `if r.N > 0 {`,
		"internal/lease", "TestLoweringCrossesHandOver",
	},
	{
		"order-unknown", "a message about an order that was given up is believed",
		"internal/lease/line.go", `c.want > 0 && h.Order == c.order:`, `c.want > 0:`,
		"internal/lease", "TestSimulationSemaphore",
	},
	{
		"lost-and-granted", "a grant to a claim that has lost what it held makes up for that",
		"internal/lease/line.go", `if weight < c.weight+given || c.weight > 0 && c.trust.left(now) <= 0 {`, `if false {`,
		"internal/lease", "TestEvictedAndHanded",
	},
	{
		"reader-joins-anyhow", "new readers join those of their process while a writer waits elsewhere",
		"internal/lease/holding.go", `(fresh || c.used > 0 && !c.awaited)`, `(fresh || c.used > 0)`,
		"internal/lease", "TestWriterKeepsReadersOut",
	},
	{
		"word-forgotten", "the answer to an earlier request hides that somebody has come to wait",
		"internal/lease/holding.go", `c.awaited = awaited || !c.word.Before(sent)`, `c.awaited = awaited`,
		"internal/lease", "TestWordBeforeAnswer",
	},
	{
		"joined-unheard", "readers are joined by a process that would not hear of a writer",
		"internal/lease/holding.go", `		c.line.keeper.hearken(c, now)
`, ``,
		"internal/lease", "TestJoinWhileListening",
	},
	{
		"more-than-is-left", "a process gives its leases more than it has",
		"internal/lease/holding.go", `l.weight <= c.weight-c.used`, `l.weight <= c.weight`,
		"internal/lease", "TestSimulationSemaphore",
	},
	{
		"writer-keeps-all", "a writer that is followed by its own readers keeps other readers out",
		"internal/lease/holding.go", `c.sharing, c.weight = true, l.weight`, `c.sharing = true`,
		"internal/lease", "TestSimulationRWMutex",
	},
	{
		"max-hold-among-others", "a lease that may not be renewed ends a TTL too late while others keep its claim",
		"internal/lease/holding.go", `c.ends(now.Add(l.renewed + c.ttl - held))`, `c.ends(now.Add(l.renewed + 2*c.ttl - held))`,
		"internal/lease", "TestMaxHoldAmongOthers",
	},
	{
		"size-fails-all", "an order that is too large fails the smaller ones behind it",
		"internal/lease/ask.go", `return lease.size == c.size && lease.weight >= c.want`, `return true`,
		"internal/lease", "TestSizeOfOne",
	},
	{
		"asks-for-who-gave-up", "a claim goes on asking for what somebody has given up, though the next wants less",
		"internal/lease/line.go", `|| c.want > 0 && !c.asksFor(next) {`, `{`,
		"internal/lease", "TestSimulationSemaphore",
	},
}
