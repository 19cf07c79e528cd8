package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
)

const page = "internal/matrix/README.md"

func main() {
	number := flag.Int("row", 0, "the number of a single `row`")
	write := flag.Bool("write", false, "write the table into "+page)
	flag.IntVar(&parallelTests, "parallel", 1, "run `n` tests of a package at a time; a failed test is repeated alone if the machine stalled")
	flag.Parse()
	if err := do(*number, *write); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func do(number int, write bool) error {
	list := slices.Clone(rows)
	if number != 0 {
		list = slices.DeleteFunc(list, func(r row) bool { return r.number != number })
	}
	if len(list) == 0 {
		return fmt.Errorf("unknown row %d", number)
	}
	old, err := os.ReadFile(page)
	if err != nil {
		return fmt.Errorf("run this command at the top of the repository: %w", err)
	}
	got, err := run(list)
	if err != nil {
		return err
	}
	var now []string
	all := measured(string(old))
	for _, r := range list {
		worst, wrong := got.resultOf(r)
		if now = append(now, worst); wrong == nil {
			all[slices.IndexFunc(rows, func(is row) bool { return is.number == r.number })] = worst
		}
		err = errors.Join(err, wrong)
	}
	fmt.Print(table(list, now))
	if !write {
		return err
	}
	text, wrong := insert(string(old), table(rows, all))
	if wrong == nil {
		wrong = os.WriteFile(page, []byte(text), 0o644)
	}
	return errors.Join(err, wrong)
}
