// Package clienttest has every primitive work through every kind of client: with each option of
// go-redis that matters here, with hooks, and with what users wrap around a client.
package clienttest
