package redistest

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
)

// stopped tells whether each thread of the process has come to a halt: SIGSTOP
// is delivered asynchronously, a thread may run on for a moment.
func stopped(pid int) bool {
	stats, err := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "task", "*", "stat"))
	if err != nil {
		return true
	}
	for _, name := range stats {
		stat, err := os.ReadFile(name)
		if err != nil {
			continue // the thread has ended
		}
		// The state follows the parenthesised name, which may itself contain ")".
		_, state, _ := bytes.Cut(stat[bytes.LastIndexByte(stat, ')')+1:], []byte(" "))
		if len(state) > 0 && !bytes.ContainsRune([]byte("TtZX"), rune(state[0])) {
			return false
		}
	}
	return true
}
