// A version of the services whose migration works and whose pods fail: it runs the real server for "migrate" and ends with a message
// for everything else.
package main

import (
	"fmt"
	"os"
	"syscall"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "migrate" {
		err := syscall.Exec("/openim-server", append([]string{"openim-server"}, os.Args[1:]...), os.Environ())
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Fprintln(os.Stderr, "this version is broken on purpose")
	os.Exit(3)
}
