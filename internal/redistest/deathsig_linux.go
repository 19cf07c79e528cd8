package redistest

import "syscall"

// dieWithParent asks the kernel to kill the child when the thread that started
// it ends, so that not even a SIGKILL of the tests leaves a server behind.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
