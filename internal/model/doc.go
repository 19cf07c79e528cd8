// Package model is the mutex protocol as a state machine, small enough to visit all of its
// states. Only its tests use it:
//
//	go test -v ./internal/model
//
// This prints the number of states and transitions of each configuration, or a shortest path to a
// state that violates a property. The model must be updated by hand with internal/redisstore/*.lua
// (here redis.go), internal/lease (process.go), and sections 2 to 4 and 7 of internal/PROTOCOL.md.
//
// The model has:
//
//   - claims of two or three processes, which request, queue, receive the lock, renew, yield,
//     release, give up and die;
//   - the trust window on the process's own clock. It starts when the request was sent; a message
//     names that request;
//   - the expiry of the lock and of queue entries, and fencing tokens;
//   - with Values, the value that a holder stores with the lock (the value of a leader, the mark
//     of a Once), and an observer (values.go);
//   - with Linger, claims that are kept after the unlock, and the notice that ends them. A try
//     during such a claim is modeled as a process that queues and gives up.
//
// Requests, replies and messages arrive at any time, in any order, repeatedly, or never. This
// includes packets of ended claims, so stale tokens occur. A process's clock may lose one tick in
// every T. Redis may lose its data, be reset to the state of a replica, or have its clock moved.
//
// In every state, the tests check S1, S2, V1 and V2 (see [Property]). They also check progress: all
// waiting processes acquire the lock if no more faults happen and holders release or die. After all
// processes have died, no observer sees a leader (progress.go).
//
// The model leaves out the following, without hiding violations of S1 and S2:
//
//   - When a process acts. It may act at any time. So polls, backoff, the subscription, and the
//     rule that a third of G must remain of a message's window make no difference.
//   - Clocks that run fast, and replies with an error. Both only end a claim sooner, and a claim
//     may end at any time. The release after a late reply is modeled as a delayed release of the
//     ended claim.
//   - The number of requests whose send times a process remembers. After it has forgotten one, a reply
//     to it has no effect, like a lost reply.
//   - Requests that leave no queue entry. Their effects are a subset of the others'.
//   - Leases within a process, with one exception: with Leases, a claim may serve a lease that
//     was requested after the claim started.
//   - Owners of other libraries, several keys, types and errors, the expiry of the fence key,
//     permits, and wait groups.
//
// Three numbers bound the size: packets in transit, tokens of a process in use, and T in ticks. By
// default, TestHolds/exclusion has two processes, one drifting clock, two packets, one claim per
// process, and T = 3: 21,455 states. Flags enlarge the models:
//
//	go test -v -run TestHolds/exclusion ./internal/model -model.drift 2     60,156 states
//	go test -v -run TestHolds/exclusion ./internal/model -model.time 4      101,947
//	go test -v -run TestHolds/exclusion ./internal/model -model.packets 3   75,602
//	go test -v -run TestHolds/exclusion ./internal/model -model.packets 1 -model.processes 3   84,252
//	go test -v -run TestHolds/fences$ ./internal/model -model.packets 3     43,141
//
// TestHolds/values visits 66,060 states, and 180,049 with a failover. States that differ only in the
// names of claims count once, and so do those that differ only in the order of processes whose clocks
// do not drift. A million states take about ten seconds and a third of a gigabyte. Processes that
// yield need two claims, so their models have only one packet.
package model
