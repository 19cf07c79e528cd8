//go:build unix

package redistest

import (
	"os"
	"syscall"
)

var (
	signalPause    os.Signal = syscall.SIGSTOP
	signalContinue os.Signal = syscall.SIGCONT
)
