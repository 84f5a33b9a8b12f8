package rootfs

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"
)

// recipe changes when the code that builds changes what comes out.
const recipe = "2"

// basePackages is what the root file system holds beside apt and what Debian
// calls essential. Ruby is for the lab's Chef client stand-in; ifupdown and
// isc-dhcp-client are what Debian's cloud-init configures the network with.
func basePackages() []string {
	return []string{
		"apt", "ca-certificates", "cloud-init", "curl", "dbus", "ifupdown", "iproute2",
		"isc-dhcp-client", "openssh-server", "procps", "ruby", "sudo", "systemd-sysv",
	}
}

// ParsePackages reads a package list: one name a line, # starts a comment.
func ParsePackages(text string) []string {
	var names []string
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		if name := strings.TrimSpace(line); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// contentKey hashes everything that decides what is built, except for the day.
func contentKey(suite string, packages []string) string {
	h := sha256.New()
	wanted := slices.Compact(slices.Sorted(slices.Values(packages)))
	fmt.Fprintln(h, recipe, suite, basePackages(), wanted, masked(), born(), excluded())
	fmt.Fprintln(h, fetchScript)
	fs.WalkDir(files, "files", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := files.ReadFile(path)
		fmt.Fprintf(h, "%s %d %s\n", path, len(data), data)
		return err
	})
	return hex.EncodeToString(h.Sum(nil))[:16]
}

// isoWeek is how long a build stays fresh: Debian's point fixes arrive weekly.
func isoWeek(now time.Time) string {
	year, week := now.UTC().ISOWeek()
	return fmt.Sprintf("%dw%02d", year, week)
}
