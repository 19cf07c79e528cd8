// Package clienttest tests every primitive with every kind of client: with each relevant option of
// go-redis, with hooks, and with wrappers around clients.
package clienttest
