// Package lease decides when locks are requested, handed on, renewed and given up. It deals with
// time and goroutines; it does not know Redis, which it reaches through a [Store].
//
// A lease is what one caller waits for and then holds. A claim is what this process waits for in
// Redis, and then holds, on one key. The leases of a process take turns under its claim, so Redis
// sees processes and not goroutines. Each key in use has a queue of leases, with its claim. Each
// Redis client has one manager of its queues. Package client has the subscription of the Redis
// client, and the timer for all renewals.
//
// Redis is the authority on who holds a lock. A process trusts the last reply for a window of time,
// without asking again. Nothing outlives its use: goroutines, timers and map entries exist only
// while keys are held or awaited. A timer may still fire for a moment.
//
// internal/PROTOCOL.md describes the protocol, its reasons and its bounds.
//
// # One lock, from call to grant
//
// The way out, through this package and internal/redisstore:
//
//	Mutex.LockContext, acquire mutex/mutex.go     first request, then await
//	  Lease.Request            lease.go
//	    Manager.enqueue        queue.go           the lease joins the queue of its key
//	      newClaim             claim.go           if the process has no claim on the key yet
//	    keyQueue.requestInline acquire_loop.go
//	      Store.Acquire        redisstore/store.go
//	        transport.send     redisstore/transport.go    which server
//	          pipeliner.send   redisstore/pipeliner.go    at once, or in the next pipeline
//	            promptHook     redisstore/prompt.go       only if the wait for the reply must be short
//	              mutex_acquire.lua
//	                lib/store_fence.lua                   the fence base
//
// And the way back:
//
//	mutexReply                 redisstore/store.go
//	finishRequest              acquire_reply.go   whether and when the next request follows
//	  handleReply              acquire_reply.go
//	    receiveGrant           acquire_reply.go   every grant passes here; replicas may have to confirm it first
//	      acceptGrant          acquire_reply.go
//	        scheduleRenewal    claim.go
//	        advanceAt          queue.go           which lease is next
//	          claim.assign     claim.go
//	            Lease.grant    lease.go
//	Lease.await                mutex/lease.go     returns the mutex.Lease
//	  Lease.Await              lease.go           finds the lease granted
//
// The caller's goroutine sends the request itself if a call waits for the lease, its key has no
// claim yet, and either its ctx never ends or a prompt reply is expected ([Store].IsPrompt). In all
// other cases keyQueue.advance (queue.go) decides. For a key without a claim it starts requestLoop on
// another goroutine, which calls Store.Acquire. Lease.Await then waits, and Lease.grant ends its wait.
// The first request of a client under a ctx that can end takes this way, too, because no reply has
// been timed yet.
//
// A claim that must wait has an entry in Redis. The message of a hand-over arrives at HandleMessage
// (messages.go), and handleHandover passes it to receiveGrant. If the message is lost, a poll by
// requestLoop finds the grant.
//
// These events end in keyQueue.advance, which decides the next step: a lease joins (unless its
// caller sends the request), is released or gives up; a grant, a loss or a confirmed release
// arrives; a window ends. claim.wake makes requestLoop send its next request, or stop, before its
// timer fires.
//
// # Files
//
// The lease of one caller:
//
//	lease.go             Request, Await, AcquireChan, grant, fail, end: from its request to its result, and how it ends
//	lease_held.go        Release, ReleasePermits, Err, Done, Remaining, Context: what its holder may call
//	lease_trace.go       newTracer, traceEnd: which events a Trace gets
//	list.go              the linked list of leases
//
// The queue of one key, and its claim:
//
//	queue.go             join, advance, requestMore, loseClaim: how a lease joins a queue, and what its next step is
//	claim.go             claim, want, hold, canServe, assign, extend: what the process wants and holds on a key, and until when
//	claim_renewal.go     CheckRenewal, HandleRenewal: whether a claim is renewed, and what the reply means
//	claim_release.go     finishRelease, shrink, handleLateReply: how a claim is given back, whole, in part or late
//	timeslice.go         newTimeSlice, exhausted: when other processes are next; monoTime
//	linger.go            keepIdle: whether a claim without leases is kept for a moment
//	contention_notice.go Contended, noteNotice: whether other processes wait
//
// The requests of a claim, and what comes back:
//
//	acquire_loop.go      requestLoop, requestInline, wake, requests, callerCtx: when a request is sent, by which goroutine, with which ctx
//	acquire_reply.go     handleReply, nextDelay, receiveGrant: what a reply means, and when the next request follows
//	messages.go          HandleMessage, handleHandover, subscribe: which claim gets a message, and what it does with it
//	confirm.go           confirm: whether enough replicas have a grant
//
// Several keys:
//
//	multi_acquire.go     MultiLease.Acquire: the order of the requests, and what is given back meanwhile
//	multi_sink.go        memberSink: whether a lease of several counts as received
//	multi.go             Release, Err, Done of a MultiLease
//
// The value beside a mutex, and elections:
//
//	value.go             WriteValue, ReleaseValue, ValueReader: how the value is written and read
//	value_watch.go       WatchValue: signals that the value may have changed
//	value_observe.go     ObserveValue: one poller for all observers of a value
//	term.go              Campaign, begin, Resign: a lease whose value is stored before the caller gets it, and again once lost
//
// Common to all:
//
//	store.go             Store, Request, Reply, Handover: what is sent to Redis and what comes back; the errors
//	manager.go           NewManager, register: what a client has once
//	errors.go            wrap: the operation and the key in an error
//	inspect.go           Inspect: what Redis knows of a key
package lease
