package main

import (
	"fmt"
	"os"
)

const usage = `localkube <command>
  up                 start the control plane, the node, DNS and ingress; does nothing to what runs already
  down               stop everything it started and remove its network namespace
  status             what runs
  load FILE…         import image archives
  join [FILE…]       start a second node, with these images besides the cluster's
  leave              end it again; drain it first
  image …            build an image archive (see image.go)
  exec COMMAND…      run a command inside the cluster's network namespace
  forward            serve the outer addresses (started by up)
`

func main() {
	if len(os.Args) < 2 {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	commands := map[string]func([]string) error{
		"up": up, "down": down, "status": status, "load": load, "join": join, "leave": leave, "image": buildImage, "exec": execInside, "forward": forward,
	}
	run, known := commands[os.Args[1]]
	if !known {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	if err := run(os.Args[2:]); err != nil {
		fmt.Fprintf(os.Stderr, "localkube %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}
