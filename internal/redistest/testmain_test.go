package redistest

import (
	"bufio"
	"fmt"
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	Main(m, map[string]func(){"echo": echo, "server": serve})
}

// echo is a worker that repeats its input; the line "fail" makes it fail.
func echo() {
	fmt.Println("ready", os.Getenv("GREETING"))
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		if in.Text() == "fail" {
			os.Exit(3)
		}
		fmt.Println(in.Text())
	}
}

// serve is a worker that has a server of its own.
func serve() {
	s, err := Launch(os.Getenv("DIR"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(s.Addr())
	select {}
}
