// Package model is the mutex protocol as a state machine, small enough to visit all of its
// states. Nothing imports it. Its tests are its use:
//
//	go test -v ./internal/model
//
// prints the number of states and transitions of each configuration, or a shortest path to a
// state that violates a property. The model is kept in step by hand with internal/redisstore/*.lua
// (here redis.go), internal/lease (process.go), and sections 2 to 4 and 7 of internal/PROTOCOL.md.
//
// The model has:
//
//   - claims of two or three processes, which request, are granted, queue, are handed the lock,
//     renew, yield, release, give up and die;
//   - the trust window on the process's own clock. It begins when the request was sent, which a
//     message names;
//   - the expiry of the lock and of queue entries, and fencing tokens;
//   - with Values, what a holder stores beside the lock (the value of a leader, the mark of a Once),
//     and an observer (values.go);
//   - with Linger, claims that are kept after the unlock, and the notice that ends that. A try that
//     meets such a claim is a process that queues and gives up, which any process may do.
//
// Requests, replies and messages arrive at any time, in any order, repeatedly, or never. So do
// those of claims that have ended, which is how stale tokens arise. A process's clock may lose one
// tick in every T. Redis may lose its data, be reset to the state of a replica, or have its clock
// moved.
//
// In every state the tests check S1, S2, V1 and V2 (see [Property]). They also check that all waiting
// processes acquire the lock if no more faults happen and holders release or die, and that nobody is
// seen to lead after a death (progress.go).
//
// The model leaves out the following, without hiding violations of S1 and S2:
//
//   - When a process acts. It may act at any time. So polls, backoff, the subscription, and the
//     third of G that must be left of a message's window make no difference.
//   - Clocks that run fast, and replies that refuse. Both only end a claim sooner, and a claim
//     may end at any time. The release that follows a late reply is the one that was sent when
//     the claim ended, and was delayed.
//   - Requests that leave no queue entry. They do less than others.
//   - Leases within a process, with one exception: with Leases, a claim may serve a lease that
//     was requested after the claim began.
//   - Owners that are not ours, several keys, types and errors, the expiry of the fence key,
//     permits, and wait groups.
//
// Three numbers bound the size: packets in transit, claims of a process that anything still
// names, and T in ticks. By default TestExclusion has two processes, the clock of one drifts, two
// packets, one claim each, and T = 3: 111,074 states. Flags enlarge it:
//
//	go test -v -run TestExclusion ./internal/model -model.drift 2     357,965 states
//	go test -v -run TestExclusion ./internal/model -model.time 4      567,306
//	go test -v -run TestExclusion ./internal/model -model.packets 3   581,467
//	go test -v -run TestExclusion ./internal/model -model.packets 1 -model.processes 3   637,219
//	go test -v -run TestFences ./internal/model -model.packets 3      292,995
//
// TestValues visits 344,735 states, and 743,472 with a failover.
//
// A million states take about ten seconds and half a gigabyte. TestYield needs two claims of a
// process, which leaves room for one packet.
package model
