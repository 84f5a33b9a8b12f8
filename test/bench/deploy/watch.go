//go:build bench

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// peak is the most that a group of processes had at once.
type peak struct {
	memory    int64 // KiB, what is shared counted in parts (PSS)
	sockets   int   // open TCP connections and other sockets
	processes int
}

// watch looks at a process group until the returned function is called.
func watch(group int) func() peak {
	quit, ended := make(chan struct{}), make(chan peak)
	go func() {
		var most peak
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				ended <- most
				return
			case <-tick.C:
			}
			now := look(group)
			most = peak{max(most.memory, now.memory), max(most.sockets, now.sockets), max(most.processes, now.processes)}
		}
	}()
	return func() peak { close(quit); return <-ended }
}

// look adds up what the processes of a group have. One that ends meanwhile
// counts for nothing.
func look(group int) (now peak) {
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range all {
		stat, err := os.ReadFile(dir + "/stat")
		if err != nil {
			continue
		}
		_, tail, _ := strings.Cut(string(stat), ") ")
		if fields := strings.Fields(tail); len(fields) < 3 || fields[2] != strconv.Itoa(group) {
			continue
		}
		now.processes++
		now.memory += pss(dir)
		fds, _ := os.ReadDir(dir + "/fd")
		for _, fd := range fds {
			if to, err := os.Readlink(dir + "/fd/" + fd.Name()); err == nil && strings.HasPrefix(to, "socket:") {
				now.sockets++
			}
		}
	}
	return now
}

func pss(dir string) int64 {
	text, err := os.ReadFile(dir + "/smaps_rollup")
	if err != nil {
		return 0
	}
	for _, line := range strings.Split(string(text), "\n") {
		var n int64
		if _, err := fmt.Sscanf(line, "Pss: %d kB", &n); err == nil {
			return n
		}
	}
	return 0
}
