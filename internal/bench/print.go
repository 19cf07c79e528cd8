package main

import (
	"fmt"
	"strings"
)

// print shows all tables, and then what they were made with.
func (b *bench) print(list []*entry) {
	for _, e := range list {
		for _, t := range e.report(b) {
			fmt.Println(t.markdown())
		}
	}
	fmt.Print("Settings:\n\n")
	for _, sys := range b.systems {
		fmt.Printf("* %s: %s\n", sys.name, sys.settings)
	}
	for _, sys := range baselines {
		fmt.Printf("* %s: %s\n", sys.name, sys.settings)
	}
	var done []string
	for _, e := range list {
		done = append(done, fmt.Sprintf("%s %d × (%.0f s)", e.name, e.rounds, e.took.Seconds()))
	}
	fmt.Printf("\nMeasured: %s\n", strings.Join(done, ", "))
	for _, miss := range b.misses {
		fmt.Printf("\nNot measured: %s\n", miss)
	}
	fmt.Println()
	t := b.targets(list)
	fmt.Println(t.markdown())
}
