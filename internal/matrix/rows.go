package main

import "strings"

// A row describes a fault, and its tests.
type row struct {
	number   int
	fault    string
	required string   // the promises under the fault
	bound    string   // the longest wait, or the cost
	servers  string   // the servers of its tests
	tests    []string // "package.Test" or "package.Test/subtest"
}

// dirs has the directories of the tests. The tests in faults measure times, and only this command runs them.
var dirs = map[string]string{
	"faults":     "./internal/matrix/faults",
	"mutex":      "./mutex",
	"semaphore":  "./semaphore",
	"client":     "./internal/client",
	"lease":      "./internal/lease",
	"taskgroup":  "./internal/taskgroup",
	"ratelimit":  "./internal/ratelimit",
	"redisstore": "./internal/redisstore",
	"clienttest": "./internal/clienttest",
}

// split splits a name into package, function and subtest, which may be "".
func split(test string) (pkg, function, subtest string) {
	pkg, name, _ := strings.Cut(test, ".")
	function, subtest, _ = strings.Cut(name, "/")
	return pkg, function, subtest
}

const (
	onRedis   = "redis"
	onBoth    = "miniredis, redis"
	onCluster = "cluster"
)

// rows has all faults, sorted by number. Some numbers are unused. S, L and E are the invariants of README.md; T, P, W, G, V and C are defined in
// PROTOCOL.md.
var rows = []row{
	{1, "kill −9, restarted empty", "reported, S2, key not created again", "reported T/3 + C, others P", onRedis, []string{"faults.TestHoldIsLost/Restart"}},
	{2, "kill −9, restarted with AOF", "nothing lost", "P", onRedis, []string{"faults.TestHoldIsKept/RestartWithAOF"}},
	{3, "LOADING", "retried, E", "P", onRedis, []string{"faults.TestFaultLoading"}},
	{4, "Redis stopped for less than V", "kept", "P", onRedis, []string{"faults.TestHoldIsKept/StoppedBriefly"}},
	{5, "Redis stopped for more than T", "L6, S4", "reported V, others T", onRedis, []string{"faults.TestServerStops/Stopped"}},
	{6, "failover that loses writes", "reported, S2, others continue", "reported V, others T + P", "sentinel, redis", []string{"faults.TestFaultSentinels"}},
	{7, "READONLY", "retried, E", "P", onRedis, []string{"faults.TestFaultRefused/Readonly"}},
	{8, "NOREPLICAS", "retried, E; a hold without renewals ends", "P; reported V", onRedis, []string{"faults.TestFaultRefused/NoReplicas"}},
	{9, "a slot that is moving", "kept and renewed; TRYAGAIN retried", "P after the move", onCluster, []string{
		"faults.TestClusterSlotMoves", "faults.TestClusterSlotMovesUnderBatches", "faults.TestClusterSlotMovesWhileClaimsLinger", "faults.TestClusterSlotBeginsToMove"}},
	{10, "a slot that has moved", "followed", "a message's time", onCluster, []string{"faults.TestClusterSlotMoves", "faults.TestClusterSlotMovesUnderBatches"}},
	{11, "the slot of a channel's name moves", "received on the plain channel; subscribed again", "P", onCluster, []string{
		"mutex.TestClusterMessages", "mutex.TestClusterMessagesStayOnTheirNode", "redisstore.TestNodeChannelWithoutSubscriber", "faults.TestClusterSlotMoves"}},
	{12, "out of memory", "released, renewed and handed over; other requests retried", "P", onBoth, []string{
		"faults.TestFaultRefused/OutOfMemory", "redisstore.TestOutOfMemory", "redisstore.TestPermitsOutOfMemory", "redisstore.TestWaitGroupOutOfMemory"}},
	{13, "key evicted", "reported, S2", "reported T/3 + C, others P", "redis, fake", []string{"faults.TestHoldIsLost/Evicted", "lease.TestEvicted"}},
	{14, "key deleted or overwritten, FLUSHALL", "reported; a new value is not changed", "reported T/3 + C, others P", onRedis, []string{
		"faults.TestHoldIsLost/Deleted", "faults.TestHoldIsLost/Flushed", "faults.TestHoldIsLost/Overwritten", "faults.TestHoldIsLost/Retyped", "taskgroup.TestGroupIsLost"}},
	{15, "key of another type", "E at once, nothing written", "P while waiting", onBoth, []string{"mutex.TestBadInput",
		"redisstore.TestKeyOfAnotherType"}},
	{16, "SCRIPT FLUSH", "one more request", "—", onBoth, []string{"redisstore.TestScriptsAreSentAgainAfterAFlush"}},
	{17, "BUSY with another client's script", "retried, E", "P", onRedis, []string{"faults.TestFaultRefused/Busy"}},
	{18, "CLIENT PAUSE", "L6", "reported V, others P", onRedis, []string{
		"faults.TestServerStops/PauseWrite", "faults.TestServerStops/PauseAll", "faults.TestHoldIsKept/PausedBriefly"}},
	{19, "server clock set forward", "reported, S2", "reported T/3 + C, others P", onRedis, []string{"faults.TestHoldIsLost/ClockForward"}},
	{20, "server clock set back", "a dead holder's lock ends within T", "T + P", onBoth, []string{
		"faults.TestHoldIsKept/ClockBack", "faults.TestClockSetBackAfterADeath", "redisstore.TestWaiterCutsATTLThatIsTooLong", "redisstore.TestClockSetBackAfterARenewal", "redisstore.TestWaitGroupClockSetBack", "redisstore.TestLimiterJumpBackwards"}},
	{21, "ACL denies channels", "by polling", "P", onBoth, []string{"faults.TestHoldIsKept/NoChannels", "redisstore.TestHandOverWithoutPermissionToPublish"}},
	{22, "ACL denies scripts, keys or commands", "E at once", "a round trip", onRedis, []string{"faults.TestFaultNoRights", "faults.TestFaultRightsTaken"}},
	{23, "maxclients", "retried, E", "C + P", onRedis, []string{"faults.TestFaultNoConnection/MaxClients"}},
	{24, "MISCONF: disk full", "retried, E; the lease expires", "P; reported V", onRedis, []string{"faults.TestFaultRefused/DiskFull"}},
	{25, "holder stopped for more than T", "lost at the first call of Err, S2, S3", "others T + P", onRedis, []string{"faults.TestFaultHolderStops", "taskgroup.TestTaskIsLost"}},
	{26, "holder killed", "L2", "T + P", onRedis, []string{"faults.TestFaultHolderDies", "faults.TestGroupProcessDies"}},
	{27, "waiter killed", "skipped", "G, after W nothing", onRedis, []string{"faults.TestFaultWaiterDies/Soon", "faults.TestFaultWaiterDies/LongDead"}},
	{28, "waiter killed during a hand-over to it", "L3", "G + P", onRedis, []string{"faults.TestFaultWaiterDies/WhileHanded"}},
	{29, "waiter stopped during a hand-over", "a stale message is ignored", "G + P", onRedis, []string{"faults.TestFaultWaiterStopsWhileHanded"}},
	{30, "ctx is done at any point", "L5, S4", "milliseconds", onBoth, []string{
		"faults.TestFaultCancelBlackhole", "mutex.TestPoolCancel", "lease.TestSimulation", "taskgroup.TestOperationUndone"}},
	{31, "request lost", "repeated with the same token", "C", onRedis, []string{
		"faults.TestFaultLost/RequestCut", "redisstore.TestUpdateRequests", "redisstore.TestWaitGroupRepetition"}},
	{32, "reply lost", "same grant, same fence; a release is no loss", "C", onRedis, []string{
		"faults.TestFaultLost/ReplyCut", "faults.TestFaultUnlockSilent", "faults.TestFaultLimiterLost", "redisstore.TestUpdateRequests", "redisstore.TestWaitGroupRepetition"}},
	{33, "executed twice", "nothing counts twice", "—", onBoth, []string{"faults.TestFaultTwice", "redisstore.TestUpdateRequests", "redisstore.TestWaitGroupRepetition"}},
	{34, "executed late", "S4", "T; W in the queue", "redis, miniredis, fake", []string{"faults.TestServerStops/Stopped", "redisstore.TestLateUpdateOfAnEndedClaim", "redisstore.TestWaitGroupCopyOfAnAckedOperation", "lease.TestSimulation"}},
	{35, "black hole", "L6, L4, S1", "reported V, others T + P", onRedis, []string{"faults.TestBlackhole", "faults.TestUnlockInABlackhole", "ratelimit.TestWaitRefunds"}},
	{36, "half-open connection", "as 35; detected by requests", "6 s, P", onBoth, []string{"faults.TestFaultLost/ReplyLost", "redisstore.TestSilentSubscriptionIsGivenUp"}},
	{37, "latency", "only slower; never granted after expiry", "the round trip", "redis, fake", []string{
		"faults.TestHoldIsKept/ShortLatency", "faults.TestHoldIsKept/LongLatency", "lease.TestWindowCountsFromSending"}},
	{38, "one byte at a time", "no effect", "P", onRedis, []string{"faults.TestFaultCrowd/Sliced"}},
	{39, "connections cut", "repeated, nothing leaks", "P", onRedis, []string{"faults.TestFaultCrowd/ClientKill", "faults.TestFaultCrowd/Reset"}},
	{40, "subscription cut", "all waiters poll once", "0.1 s", onRedis, []string{
		"faults.TestFaultUnsubscribed/Killed", "faults.TestFaultUnsubscribed/Dropped", "faults.TestFaultCrowd/ClientKill"}},
	{41, "message lost, duplicated or late", "L1; a message outside its window is ignored", "P", onRedis, []string{
		"faults.TestFaultMessageLate", "faults.TestFaultCrowd/MessagesLost", "faults.TestFaultCrowd/MessagesTwice",
		"faults.TestFaultCrowd/MessagesLate", "faults.TestReadersMissTheNoticeOfAWriter", "taskgroup.TestMessageOfAnotherGeneration"}},
	{42, "flood of messages, slow consumer", "an unreceived result delays no other message", "a message's time", onRedis, []string{"faults.TestFaultFlood"}},
	{43, "server drops a slow subscriber", "as 40", "0.1 s", onRedis, []string{"faults.TestFaultUnsubscribed/Slow"}},
	{44, "Redis down for seconds", "reported, others continue; dials become rarer", "reported V, others P", onRedis, []string{
		"faults.TestRedisDown", "faults.TestLostPermitsCountInTheirProcess", "faults.TestFaultLimiterLost", "taskgroup.TestGiveUpInOutage", "redisstore.TestSubscriptionBacksOff"}},
	{45, "pool exhausted", "L5, E", "ctx", onRedis, []string{"faults.TestFaultNoConnection/PoolExhausted"}},
	{46, "wall clock of a client", "set back or wrong: no effect. Set forward past V: the hold ends, and the loss is reported", "—", "redis, none", []string{
		"faults.TestHoldIsKept/ClockEarly", "faults.TestHoldIsKept/ClockLate", "client.TestWindow"}},
	{47, "machine suspended", "the clock that has advanced further counts", "—", "none", []string{"client.TestWindow"}},
	{48, "no processor time", "renewal is not delayed", "none lost in 2 T", onRedis, []string{"faults.TestFaultBusy"}},
	{49, "unlocked twice, after a loss, concurrently", "one nil, otherwise E; a lease does not panic", "—", "redis, miniredis", []string{"mutex.TestLeaseEndsOnce"}},
	{50, "unlocked by another", "S3: only by its own token", "—", onBoth, []string{"mutex.TestGoroutinesExcludeEachOtherAfterLoss", "mutex.TestRWMutexUnlockOvertaken", "redisstore.TestReleaseNeverDeletesAnothersLock"}},
	{51, "odd TTLs", "refused, or kept as specified", "—", onBoth, []string{"mutex.TestBadInput", "mutex.TestTTLs"}},
	{52, "odd keys", "refused, or separate from all other keys", "—", onBoth, []string{
		"mutex.TestBadInput", "mutex.TestKeys", "redisstore.TestKeysOfAPrimitive", "redisstore.TestKeysThatAreRefused"}},
	{53, "100,000 waiters", "one entry per process, no goroutine per waiter", "a request per time slice; as behind 10", onRedis, []string{
		"faults.TestFaultManyWaiters", "redisstore.TestManyWaiters", "faults.TestWaitingCosts"}},
	{54, "very many locks held", "renewed together, one command each", "3 pipelines per T", onBoth, []string{"redisstore.TestRenewOfMany", "mutex.TestCostRenewalTogether"}},
	{55, "more values than one call of a script can take", "no script has so many", "900 commands per script", onRedis, []string{"redisstore.TestScriptsAreBounded"}},
	{56, "a hook fails a command without sending it", "retried; nothing left", "—", onBoth, []string{
		"clienttest.TestClients", "redisstore.TestExecErrorIsForCommandsWithoutReply"}},
	{57, "a hook panics", "its caller gets the panic; the lock can be acquired again; renewals continue", "—", onBoth, []string{
		"mutex.TestPanicOfAHookReachesItsCaller", "mutex.TestPanicOfAHookInARenewalLosesNoLease", "mutex.TestPanicOfAHookInTheSubscription", "redisstore.TestPanicReachesTheCallerOfItsCommand"}},
	{58, "hooks that read ctx values", "the caller's own or none", "—", onRedis, []string{"clienttest.TestRequestCarriesTheValuesOfItsCallersContext"}},
	{59, "hooks that add a key prefix", "messages work as without a prefix", "a message's time", onBoth, []string{
		"clienttest.TestClients", "redisstore.TestMessagesNameTheKeyWithoutAPrefix"}},
	{60, "each kind of client and of options", "works, or is refused at the first operation", "a message's time", "redis, sentinel, cluster", []string{"clienttest.TestClients"}},
	{61, "a proxy that shards by key, without messages", "one holder per key", "P", onRedis, []string{
		"faults.TestShardingProxyLetsOneIn", "lease.TestMultiLeaseTakesOneRoundTrip"}},
	{62, "a plain client of a cluster node, or of a replica", "MOVED at once; READONLY retried, E", "a round trip; P", onCluster, []string{
		"clienttest.TestClients", "faults.TestFaultRefused/Readonly", "redisstore.TestClassify"}},
	{63, "one node of a cluster is silent", "only its own leases are lost, reported before V", "reported V", onCluster, []string{
		"faults.TestSilentNodeLosesOnlyItsOwnLeases", "redisstore.TestRenewalsDoNotQueueAtASilentServer"}},
	{64, "very many leases with short timeouts, and the server pauses", "kept; retries are small", "0 lost; 128 commands per pipeline", onRedis, []string{
		"faults.TestManyLeasesUnderShortTimeouts", "lease.TestManyHoldsAreRenewedAsRarelyAsOne"}},
	{65, "a short deadline in a batch", "fails alone", "—", "redis, none", []string{"redisstore.TestDeadlineInABatchIsItsOwn", "redisstore.TestShortDeadlineFailsAlone", "redisstore.TestQueuedCommandEndsWithItsOwnContext"}},
	{66, "100,000 dead waiters, holders, tasks, operations", "some of them per script; the next continues", "900 commands per script", onRedis, []string{
		"redisstore.TestScriptsAreBounded"}},
	{67, "a lease of very many keys", "one lock per script", "128 commands per pipeline", onBoth, []string{"faults.TestLeaseOfManyKeysStallsNobody"}},
	{68, "N tries at once, N free", "N succeed", "—", onBoth, []string{"semaphore.TestTryAcquireAllSucceed", "lease.TestTriesAllSucceed"}},
	{69, "a round trip longer than the window", "a try returns; an error of a lock names it", "ctx", "fake", []string{"lease.TestRoundTripLongerThanWindow"}},
	{70, "permissions revoked and granted again", "finally released", "P", "redis, fake", []string{"faults.TestFaultRightsTaken", "lease.TestDeniedRelease"}},
	{71, "the subscription's redial hangs", "waits end by polls", "P", "redis, fake", []string{"faults.TestRedialOfTheSubscriptionHangs", "lease.TestWaitWhileRedialing"}},
	{72, "the subscription stays on an old master", "replaced after three polls", "P, three times", "redis, fake", []string{
		"faults.TestSubscriptionOnAnOldMaster", "lease.TestSubscriptionToOldMaster", "lease.TestWaitAndOldMaster"}},
	{73, "scripts cannot read the server's clock", "E at once", "a round trip", "miniredis", []string{"mutex.TestCheckRefusedCommands"}},
	{74, "a slot moves in one step, writes paused", "kept, or reported before another process has the lock", "reported V, others P", onCluster, []string{
		"faults.TestClusterSlotMovesAtOnce", "faults.TestClusterSlotMovesWhileClaimsLinger"}},
	{75, "a failover loses the last grants", "with Replicas, none of them was granted", "replicas' time, or ReplicaTimeout", "sentinel, redis, fake", []string{
		"faults.TestFaultFailoverForgets", "mutex.TestReplicasHaveTheGrant", "mutex.TestFewerReplicasThanAsked", "mutex.TestWaitRefused",
		"mutex.TestConnectionCutBeforeWaitIsAnswered", "semaphore.TestReplicas", "lease.TestUnconfirmedGrantIsReleased", "lease.TestUnconfirmedRenewalDoesNotCount"}},
	{76, "a new connection takes longer than a TTL", "kept, by existing connections", "0 lost", "redis, cluster", []string{
		"faults.TestSlowDialsLoseNoLease", "redisstore.TestHoldNeedsNoNewConnection", "redisstore.TestPipelineOfAClusterHasNoDeadline"}},
	{77, "HELLO is unknown", "by RESP2", "a message's time", onRedis, []string{"mutex.TestServerWithoutCommand/hello"}},
	{78, "SUBSCRIBE is unknown", "by polling", "P", onRedis, []string{"mutex.TestServerWithoutCommand/subscribe"}},
	{79, "scripts, TIME in them or undeclared keys refused; a node of a cluster", "E at once, with the remedy", "a round trip", "miniredis", []string{
		"mutex.TestServerWhoseScriptsAreRefused", "mutex.TestCheckRefusedCommands"}},
	{80, "errors of unknown text", "retried; E after a TTL if ctx never ends", "P after the errors end", "fake, miniredis", []string{
		"lease.TestUnknownErrorLasts", "lease.TestUnknownErrorAmongOthers", "lease.TestTimeoutNamesRedis", "redisstore.TestClassify"}},
	{81, "scripts run as a sequence of calls", "a failure, only in Check", "—", onRedis, []string{"mutex.TestCheckScriptsNotAtomic"}},
	{82, "a process dies or is stopped while its claim lingers", "the next holder after the TTL; no overlap", "T + P", onRedis, []string{
		"faults.TestFaultLinger", "lease.TestLingerPastTheWindow"}},
	{83, "a leader is killed, stopped, disconnected; Redis restarted or failed over during its term", "terms grow and never overlap; observers see the changes, and finally no leader", "T + P", onRedis, []string{
		"mutex.TestElectionAcrossProcesses", "mutex.TestObserveDeath", "mutex.TestLeadCampaignsAgainAfterOutage"}},
	{84, "the value of a leader deleted or evicted", "stored again", "T/3", "miniredis", []string{"mutex.TestValueOfATerm"}},
	{85, "the process of a Once or a Flight killed or stopped during a run", "the next process runs it, once; a stopped process stores nothing", "T + P", "miniredis", []string{
		"mutex.TestOnceLostRunnerCannotMark", "mutex.TestFlightOfADeadProcessIsMadeOnce", "mutex.TestFlightKeepsNothingOfALostRun"}},
}
