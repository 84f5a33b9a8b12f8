package agent

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// memory is what this process may hope for, in bytes; 0 when unknown.
type memory struct {
	limit uint64 // the machine's, or the smallest limit of a control group around us
	free  uint64 // what may be taken before the machine has to swap or kill
}

// memoryNow looks at the machine.
func memoryNow() memory {
	var m memory
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err == nil {
		m.limit = info.Totalram * uint64(info.Unit)
	}
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		m.free = available(string(text))
	}
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return m
	}
	_, dir, _ := strings.Cut(strings.TrimSpace(string(groups)), "::") // the line of cgroup v2
	for ; strings.HasPrefix(dir, "/"); dir = filepath.Dir(dir) {
		b, err := os.ReadFile(filepath.Join("/sys/fs/cgroup", dir, "memory.max"))
		if n, perr := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64); err == nil && perr == nil && (m.limit == 0 || n < m.limit) {
			m.limit = n
		}
		if dir == "/" {
			break
		}
	}
	return m
}

// available reads MemAvailable of /proc/meminfo; 0 when it is not there.
func available(meminfo string) uint64 {
	for line := range strings.Lines(meminfo) {
		fields := strings.Fields(line)
		if len(fields) == 3 && fields[0] == "MemAvailable:" && fields[2] == "kB" {
			kib, err := strconv.ParseUint(fields[1], 10, 54)
			if err != nil {
				return 0
			}
			return kib << 10
		}
	}
	return 0
}

// budget is how much of it the buffers of a download may take: an eighth of the
// limit and at most a quarter of what is free, since the app that serves
// meanwhile keeps its own; from 16 to 96 MiB.
func (m memory) budget() uint64 {
	const least, most = 16 << 20, 96 << 20
	total := uint64(most)
	if m.limit > 0 {
		total = min(total, m.limit/8)
	}
	if m.free > 0 {
		total = min(total, m.free/4)
	}
	return max(total, least)
}
