// Command bench compares baton with its peers: all systems, on one private redis-server, in
// one run. README.md describes the workloads and has the latest tables. It needs redis-server
// on the PATH and a Unix, because it checks mutual exclusion in memory that the processes share.
// It is a module of its own, so that the peers do not become dependencies of baton's users.
package main
