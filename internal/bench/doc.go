// Bench measures baton's mutex beside its peers, all on one private
// redis-server and in one run. See README.md for what it measures and for the
// latest tables. It needs redis-server on the PATH and a Unix, as it checks
// mutual exclusion in memory which processes share outside Redis.
package main
