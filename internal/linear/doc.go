// Package linear checks histories of real processes on a real redis-server for linearizability,
// with porcupine. It has only tests. It is a module of its own, so that porcupine does not
// become a dependency of baton's users. See README.md.
package linear
