// Command screen turns the terminal output of a program into an animated SVG. The README's
// picture is made by
//
//	go run ./examples/handoff -live | go run ./internal/screen -title '$ go run ./examples/handoff' >examples/handoff/handoff.svg
//
// The animation has the timing of the run. It needs no script, so it plays in an <img>. It
// follows the reader's settings for light or dark mode and for reduced motion. It interprets
// the control codes that examples/handoff writes, and shows others as text.
package main
