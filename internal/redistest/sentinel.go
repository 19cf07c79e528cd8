package redistest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Sentinels monitor a master and its replica. They promote the replica when the master has not
// answered for half a second.
type Sentinels struct {
	Master, Replica *Server

	sentinels []*Server
}

// StartSentinels runs a master, a replica and three sentinels until the end of the test. It returns
// when all know each other.
func StartSentinels(tb testing.TB) *Sentinels {
	tb.Helper()
	master := Start(tb)
	return WatchBySentinels(tb, master, master.AddReplica(tb), 1)
}

// WatchBySentinels starts three sentinels for a master and its replicas, and returns when all know
// each other. replica is the replica for the methods of Sentinels.
func WatchBySentinels(tb testing.TB, master, replica *Server, replicas int) *Sentinels {
	tb.Helper()
	s := &Sentinels{Master: master, Replica: replica}
	for range 3 {
		// A sentinel requires a writable file.
		conf := filepath.Join(tb.TempDir(), "sentinel.conf")
		must(os.WriteFile(conf, fmt.Appendf(nil, "sentinel monitor master 127.0.0.1 %d 2\n"+
			"sentinel down-after-milliseconds master 500\nsentinel failover-timeout master 20000\n", s.Master.Port()), 0o600))
		s.sentinels = append(s.sentinels, Start(tb, conf, "--sentinel"))
	}
	for _, sentinel := range s.sentinels {
		Eventually(tb, 20*time.Second, func() bool {
			info := sentinel.Do(tb, "INFO", "sentinel").(string)
			return strings.Contains(info, "status=ok,address="+master.Addr()+",") && strings.Contains(info, fmt.Sprintf("slaves=%d,sentinels=3", replicas))
		}, "the sentinels agree")
	}
	Eventually(tb, 20*time.Second, func() bool {
		return strings.Contains(s.Replica.Do(tb, "INFO", "replication").(string), "master_link_status:up")
	}, "the replica follows")
	return s
}

// Addrs returns the addresses of the sentinels. Their name for the master is "master".
func (s *Sentinels) Addrs() (addrs []string) {
	for _, sentinel := range s.sentinels {
		addrs = append(addrs, sentinel.Addr())
	}
	return addrs
}

// Client follows the master. It is closed when the test ends.
func (s *Sentinels) Client(tb testing.TB) *redis.Client {
	tb.Helper()
	rdb := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: "master", SentinelAddrs: s.Addrs(), DisableIdentity: true})
	tb.Cleanup(func() { _ = rdb.Close() }) // the test may have closed it already
	return rdb
}

// FailOver kills the master after calling lost: the replica, which the sentinels then promote, does
// not receive the writes of lost. Pausing the replica is not enough: its socket would buffer them.
func (s *Sentinels) FailOver(tb testing.TB, lost func()) {
	tb.Helper()
	s.Master.AwaitReplica(tb)
	s.Replica.Pause()
	s.Master.Do(tb, "CLIENT", "KILL", "TYPE", "replica")
	lost()
	s.Master.Kill()
	s.Replica.Continue()
}

// Promoted waits until the sentinels have promoted the replica. They also close its connections,
// including those of this package.
func (s *Sentinels) Promoted(tb testing.TB) {
	tb.Helper()
	Eventually(tb, 20*time.Second, func() bool {
		info, err := s.Replica.do("INFO", "replication")
		return err == nil && strings.Contains(info.(string), "role:master")
	}, "the replica is promoted")
}

// AwaitReplica waits until a replica of the server has received all writes.
func (s *Server) AwaitReplica(tb testing.TB) {
	tb.Helper()
	Eventually(tb, Patience, func() bool {
		info := s.Do(tb, "INFO", "replication").(string)
		_, rest, _ := strings.Cut(info, "master_repl_offset:")
		offset, _, _ := strings.Cut(rest, "\r")
		return strings.Contains(info, "state=online,offset="+offset+",")
	}, "the replica has received all writes")
}

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
