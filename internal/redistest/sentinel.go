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

// Sentinels watch over a master and its replica, and promote the replica once
// the master has been silent for half a second.
type Sentinels struct {
	Master, Replica *Server

	watching []*Server
}

// StartSentinels runs a master, a replica and three sentinels until the end of
// the test, and returns when they know one another.
func StartSentinels(tb testing.TB) *Sentinels {
	tb.Helper()
	master := Start(tb)
	return WatchBySentinels(tb, master, master.AddReplica(tb), 1)
}

// WatchBySentinels starts three sentinels for a master and its replicas, and returns when they
// know one another. One replica is given, the one that the test is about.
func WatchBySentinels(tb testing.TB, master, replica *Server, replicas int) *Sentinels {
	tb.Helper()
	s := &Sentinels{Master: master, Replica: replica}
	for range 3 {
		// A sentinel wants a file that it can write to.
		conf := filepath.Join(tb.TempDir(), "sentinel.conf")
		must(os.WriteFile(conf, fmt.Appendf(nil, "sentinel monitor master 127.0.0.1 %d 2\n"+
			"sentinel down-after-milliseconds master 500\nsentinel failover-timeout master 20000\n", s.Master.Port()), 0o600))
		s.watching = append(s.watching, Start(tb, conf, "--sentinel"))
	}
	s.says(tb, s.Master, fmt.Sprintf("slaves=%d,sentinels=3", replicas))
	Eventually(tb, 20*time.Second, func() bool {
		return strings.Contains(s.Replica.Do(tb, "INFO", "replication").(string), "master_link_status:up")
	}, "the replica follows")
	return s
}

// says waits until all sentinels say that of the master, which is to be that server.
func (s *Sentinels) says(tb testing.TB, master *Server, what string) {
	tb.Helper()
	for _, sentinel := range s.watching {
		Eventually(tb, 20*time.Second, func() bool {
			info := sentinel.Do(tb, "INFO", "sentinel").(string)
			return strings.Contains(info, "status=ok,address="+master.Addr()+",") && strings.Contains(info, what)
		}, "the sentinels agree")
	}
}

// Addrs are those of the sentinels, which call the master "master".
func (s *Sentinels) Addrs() (addrs []string) {
	for _, sentinel := range s.watching {
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

// FailOver kills the master, and loses what it is sent by lost: the replica, which
// the sentinels then promote, has not got that. To stop the replica is not enough:
// what it has been sent would wait in its socket.
func (s *Sentinels) FailOver(tb testing.TB, lost func()) {
	tb.Helper()
	s.Master.AwaitReplica(tb)
	s.Replica.Pause()
	s.Master.Do(tb, "CLIENT", "KILL", "TYPE", "replica")
	lost()
	s.Master.Kill()
	s.Replica.Continue()
}

// Promoted waits until the sentinels have made the replica the master. They also kill its
// connections, this package's own among them.
func (s *Sentinels) Promoted(tb testing.TB) {
	tb.Helper()
	Eventually(tb, 20*time.Second, func() bool {
		info, err := s.Replica.do("INFO", "replication")
		return err == nil && strings.Contains(info.(string), "role:master")
	}, "the replica is promoted")
}

// AwaitReplica waits until a replica of the server has received all that was written.
func (s *Server) AwaitReplica(tb testing.TB) {
	tb.Helper()
	Eventually(tb, Patience, func() bool {
		info := s.Do(tb, "INFO", "replication").(string)
		_, rest, _ := strings.Cut(info, "master_repl_offset:")
		offset, _, _ := strings.Cut(rest, "\r")
		return strings.Contains(info, "state=online,offset="+offset+",")
	}, "the replica has got what was written before")
}
