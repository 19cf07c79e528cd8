// Package model is the mutex's protocol as a state machine small enough to look at
// all of its states. Nothing imports it; its tests are its use:
//
//	go test -v ./internal/model
//
// prints, for each configuration, how many states and transitions there are, or a
// shortest way to one in which a property is violated. It is kept in step with
// internal/redisstore/*.lua (here redis.go), internal/lease (process.go) and
// internal/PROTOCOL.md, 4 to 9, by hand.
//
// What is modelled: claims of two or three processes that ask, are granted, queue,
// are handed the lock, renew, yield, release, give up and die; the window, counted on
// the process's own clock from when the request was sent that a grant answers or a
// message echoes; expiry of the lock and of queue entries; fences. Requests, answers
// and messages arrive at any time, in any order, again, or never, those of claims
// that are over too: that is where ghosts come from. A process's clock may lose one
// tick in every T. Redis may lose what it has, be set back to a replica's state, and
// have its clock moved.
//
// What is checked, in every state: S1, S2 (see [Property]), and that all processes
// that wait get in if from then on nothing is lost, while those who hold release, or
// else die (progress.go).
//
// What is not, and why that hides nothing of S1 and S2:
//
//   - When a process acts. It may do at any time what it may do at all, so polls,
//     backoff, the subscription and the third of G that must be left of a message's
//     window make no difference.
//   - Clocks that run fast, and answers that refuse: both only end a claim sooner, and
//     a claim may end at any time. The release that follows a late answer is the one
//     that was sent when the claim ended, and took its time.
//   - Requests that leave no queue entry, which do less than others.
//   - Leases inside a process, but for one thing: with Leases a claim may serve one
//     that came after it was made.
//   - Owners that are not ours, several keys, types and errors, the expiry of the fence
//     key; permits and wait groups.
//
// It is bounded by how many packets are under way, by how many claims of a process
// anything still names, and by T in ticks. By default TestExclusion has two
// processes, of which one's clock drifts, two packets, one claim each and T = 3:
// 111,074 states. More of each takes flags:
//
//	go test -v -run TestExclusion ./internal/model -model.drift 2     357,965 states
//	go test -v -run TestExclusion ./internal/model -model.time 4      567,306
//	go test -v -run TestExclusion ./internal/model -model.packets 3   581,467
//	go test -v -run TestExclusion ./internal/model -model.packets 1 -model.processes 3   637,219
//	go test -v -run TestFences ./internal/model -model.packets 3      292,995
//
// A million states take about ten seconds and half a gigabyte. TestYield needs two
// claims of a process, and one packet is all that they leave room for.
package model
