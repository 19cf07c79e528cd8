package main

import "syscall"

// dieWithParent has the kernel kill the child when dlock dies, even by SIGKILL.
func dieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }
