// Screen draws what a program shows on a terminal as a moving picture, an SVG. The
// one in the README is made by
//
//	go run ./examples/handoff -live | go run ./internal/screen -title '$ go run ./examples/handoff' >examples/handoff/handoff.svg
//
// A picture keeps the time of the run. It needs no script, so that it moves in an
// <img>, and follows the reader's choice of light or dark, and of no motion. It
// knows the codes that examples/handoff writes, and shows what it does not know
// as it is.
package main
