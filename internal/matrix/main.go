// Command matrix lists every fault with the tests that inject it. It runs these tests and
// prints the bound that they check next to the worst time measured. The table is in README.md.
//
//	go run ./internal/matrix           # run all, print the table
//	go run ./internal/matrix -row 6    # run one row
//	go run ./internal/matrix -timed    # run only the tests that go test ./... does not run
//	go run ./internal/matrix -write    # also write the rows that passed into README.md
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
)

const page = "internal/matrix/README.md"

func main() {
	number := flag.Int("row", 0, "the number of a single `row`")
	timed := flag.Bool("timed", false, "run only the tests in "+dirs["faults"]+", which go test ./... does not run")
	write := flag.Bool("write", false, "write the table into "+page)
	parallel := flag.Int("parallel", 1, "run `n` tests at a time; a failed test is repeated alone if the machine stalled")
	flag.Parse()
	if err := do(*number, *timed, *write, *parallel); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func do(number int, timed, write bool, parallel int) error {
	var list []row
	var names []string
	for _, r := range rows {
		tests := slices.Clone(r.tests)
		if timed {
			tests = slices.DeleteFunc(tests, func(name string) bool { return !strings.HasPrefix(name, "faults.") })
		}
		if len(tests) > 0 && (number == 0 || number == r.number) {
			list, names = append(list, r), append(names, tests...)
		}
	}
	if len(list) == 0 {
		return fmt.Errorf("there is no such row")
	}
	text, err := os.ReadFile(page)
	if err != nil {
		return fmt.Errorf("run this command at the top of the repository: %w", err)
	}
	got, err := run(names, parallel)
	if err != nil {
		return err
	}
	all, now := measured(string(text)), map[int]string{}
	for _, r := range list {
		worst, wrong := got.resultOf(r, names)
		if now[r.number] = worst; wrong == nil {
			all[r.number] = worst
		}
		err = errors.Join(err, wrong)
	}
	fmt.Print(table(list, now))
	if !write {
		return err
	}
	written, wrong := insert(string(text), table(rows, all))
	if wrong == nil {
		wrong = os.WriteFile(page, []byte(written), 0o644)
	}
	return errors.Join(err, wrong)
}
