//go:build !unix

package redistest

import (
	"os"
	"syscall"
)

// These systems cannot pause a process: sending SIGTERM fails as unsupported.
var (
	signalPause    os.Signal = syscall.SIGTERM
	signalContinue os.Signal = syscall.SIGTERM
)
