package redistest

import (
	"strings"
	"testing"
	"time"
)

// AddReplica starts a replica of the server until the end of the test, with further args, and
// returns when the server reports it as online.
func (s *Server) AddReplica(tb testing.TB, args ...string) *Server {
	tb.Helper()
	return s.AddReplicaAt(tb, s.Port(), args...)
}

// AddReplicaAt is AddReplica for a replica that connects to another port, such as a [Forward]'s.
func (s *Server) AddReplicaAt(tb testing.TB, port int, args ...string) *Server {
	tb.Helper()
	s.Do(tb, "CONFIG", "SET", "repl-diskless-sync-delay", "0")
	before := s.online(tb)
	r := Start(tb, args...)
	if r.Do(tb, "INFO", "cluster") == "# Cluster\r\ncluster_enabled:1\r\n" {
		r.Do(tb, "CLUSTER", "MEET", "127.0.0.1", s.Port())
		id := s.Do(tb, "CLUSTER", "MYID")
		Eventually(tb, clusterTimeout, func() bool {
			_, err := r.do("CLUSTER", "REPLICATE", id)
			return err == nil
		}, "the replica knows its master")
		Eventually(tb, clusterTimeout, func() bool {
			return strings.Contains(r.Do(tb, "CLUSTER", "INFO").(string), "cluster_state:ok")
		}, "the replica knows the cluster")
	} else {
		r.Do(tb, "REPLICAOF", "127.0.0.1", port)
	}
	Eventually(tb, 20*time.Second, func() bool { return s.online(tb) > before }, "the replica is online")
	return r
}

// online returns the number of replicas that have all data.
func (s *Server) online(tb testing.TB) int {
	return strings.Count(s.Do(tb, "INFO", "replication").(string), "state=online")
}
