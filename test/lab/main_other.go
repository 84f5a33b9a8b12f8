//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "lab: error: the lab needs Linux (namespaces, overlayfs, cgroups); run it on a Debian or Ubuntu machine, as root")
	os.Exit(2)
}
