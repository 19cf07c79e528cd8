package redistest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

const startTimeout = 10 * time.Second

var errPortTaken = errors.New("redistest: another process uses the server's port")

func (s *Server) up() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.upLocked()
}

// upLocked starts the process and returns when it answers PING.
func (s *Server) upLocked() error {
	log, err := os.Create(filepath.Join(s.dir, "redis.log"))
	if err != nil {
		return err
	}
	defer log.Close() // the child has its own descriptor
	args := append([]string{
		"--bind", "127.0.0.1", "--port", strconv.Itoa(s.port), "--dir", s.dir,
		"--save", "", "--appendonly", "no"}, s.args...)
	if len(s.args) > 0 && !strings.HasPrefix(s.args[0], "-") { // a file must come first
		args = append([]string{s.args[0]}, slices.Delete(args, len(args)-len(s.args), len(args)-len(s.args)+1)...)
	}
	cmd := exec.Command(Binary(), args...)
	cmd.Env = append(os.Environ(), s.env...)
	cmd.Stdout, cmd.Stderr = log, log
	p, err := StartChild(cmd)
	if err != nil {
		return fmt.Errorf("redistest: start redis-server: %w", err)
	}
	if err := s.awaitAnswer(p); err != nil {
		p.Kill()
		output, _ := os.ReadFile(log.Name())
		if bytes.Contains(output, []byte("already in use")) {
			return errPortTaken
		}
		return fmt.Errorf("%w; its log:\n%s", err, output)
	}
	o := s.Options()
	// One connection for all own commands, without retries.
	o.PoolSize, o.PipelinePoolSize, o.MaxRetries = 1, -1, -1
	o.ReadTimeout = Patience
	s.process, s.admin = p, redis.NewClient(o)
	return nil
}

// awaitAnswer pings the server until it answers, ends, or takes too long.
func (s *Server) awaitAnswer(p *Child) error {
	end := time.Now().Add(startTimeout)
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		err := s.ping(p.Pid())
		if err == nil {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("redistest: redis-server does not answer: %w", err)
		}
		select {
		case <-p.done:
			return fmt.Errorf("redistest: redis-server ended: %v", p.err)
		case <-time.After(pause):
		}
	}
}

// ping sends a PING, and compares the process id: after a race for the port, another test's server
// might answer.
func (s *Server) ping(pid int) error {
	conn, err := net.DialTimeout("tcp", s.Addr(), time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	var request []byte
	expected := []string{"+PONG", fmt.Sprintf("process_id:%d\r", pid)}
	if password := s.password(); password != "" {
		request, expected = array("AUTH", password), append([]string{"+OK"}, expected...)
	}
	request = append(append(request, array("PING")...), array("INFO", "server")...)
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	if _, err := conn.Write(request); err != nil {
		return err
	}
	r := bufio.NewReader(conn)
	for _, want := range expected {
		reply, err := readFrame(r)
		if err != nil {
			return err
		}
		if !bytes.Contains(reply, []byte(want)) {
			return fmt.Errorf("its reply is %.100q, want %q", reply, want)
		}
	}
	return nil
}

// password returns the password of "--requirepass", or "".
func (s *Server) password() string {
	password := ""
	for i, arg := range s.args[:max(len(s.args)-1, 0)] {
		if strings.EqualFold(arg, "--requirepass") {
			password = s.args[i+1]
		}
	}
	return password
}
