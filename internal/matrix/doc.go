// Command matrix tells which tests inject which fault, runs them, and collects
// what they measured beside what is promised. The table is in README.md.
//
//	go run ./internal/matrix           # run all, print the table
//	go run ./internal/matrix -row 6    # one row
//	go run ./internal/matrix -write    # write what has passed into README.md, too
package main
