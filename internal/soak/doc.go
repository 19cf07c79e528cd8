// Command soak injects random faults into processes that share locks, into their servers, and
// into the network between them, for as long as you like. Meanwhile it checks the guarantees.
// It can run the same workers, faults and checks on other libraries. A seed repeats its choices.
//
// It is a module of its own, so that the other libraries do not become dependencies of baton's
// users. README.md describes the faults and the checks, and has the last run.
package main
