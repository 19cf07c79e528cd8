// Package client has what all primitives share that use one Redis client: one subscription, one
// timer that renews what is held, the names of its tokens, and the goroutines that call Redis. It
// does not know what is locked, counted or awaited. Packages lease and taskgroup build on it.
//
// Nothing outlives its use, so there is no Close. After its last user the subscription stays open
// for 100 ms, or for as long as a lock may linger. A timer that is set may still fire.
//
// # Files
//
//	client.go        New, AddUser, RemoveUser: what a client has once; the Store
//	subscription.go  Subscribe, Listen, Missed: when the subscription is open, and who gets a message
//	renewer.go       Schedule, renewDue: when a hold is renewed
//	trust_window.go  TrustWindow: until when a hold is trusted without a reply
//	token.go         NewToken, ParseOwner: what a token names
//	workers.go       Async: the goroutines that call Redis
//	release_retry.go RetryUntil: how long a release is repeated
//	loss_context.go  LossContexts: contexts that end with a hold
//	message.go       Name, Message, Renewal: what is sent and received
//	replicas.go      NewConfirm: how many replicas must confirm a renewal
//	map.go           Map: a map that gives memory back
package client
