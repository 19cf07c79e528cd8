// Command matrix lists every fault with the tests that inject it. It runs these tests and
// prints the bound that they check next to the worst time measured. The table is in README.md.
//
//	go run ./internal/matrix           # run all, print the table
//	go run ./internal/matrix -row 6    # run one row
//	go run ./internal/matrix -write    # also write the rows that passed into README.md
package main
