package agent

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"bakehouse/internal/agentconf"
)

// What may stand in a rendered unit. Paths and names have no character that
// systemd reads as anything else; free texts are quoted, and of one line.
var (
	unitName   = regexp.MustCompile(`^[A-Za-z0-9:_.-]+\.service$`)
	unitPath   = regexp.MustCompile(`^/[A-Za-z0-9_./@+-]*[A-Za-z0-9_.@+-]$`)
	program    = regexp.MustCompile(`^[A-Za-z0-9_./@+-]+$`)
	credential = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,255}$`)
	variable   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	userName   = regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,31}$`)
)

// checkService refuses what cannot be rendered: a unit that says something else
// than was meant is worse than none.
func checkService(app *agentconf.App) error {
	s := app.Service
	if s == nil {
		return nil
	}
	switch {
	case !unitName.MatchString(app.Unit):
		return fmt.Errorf("unit %q is not NAME.service", app.Unit)
	case !userName.MatchString(app.Owner) || app.Owner == "root":
		return fmt.Errorf("owner %q: a rendered unit runs as a user of its own, not as root", app.Owner)
	case badUnitPath(app.Root):
		return fmt.Errorf("root %q is no plain absolute path", app.Root)
	case oneLine(app.Name) != nil:
		return fmt.Errorf("name %q: %w", app.Name, oneLine(app.Name))
	case s.MemoryMiB < 0 || s.Tasks < 0:
		return errors.New("service: memory_mib and tasks must not be negative")
	}
	if err := checkCommand(s.Command); err != nil {
		return fmt.Errorf("service.command: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Environment)) {
		if !variable.MatchString(name) {
			return fmt.Errorf("service.environment: %q is no name of a variable", name)
		}
		if err := oneLine(s.Environment[name]); err != nil {
			return fmt.Errorf("service.environment: %s: %w", name, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Credentials)) {
		if file := s.Credentials[name]; !credential.MatchString(name) || badUnitPath(file) {
			return fmt.Errorf("service.credentials: %q: %q is not NAME: /PATH", name, file)
		}
	}
	for _, listen := range s.Listen {
		if badListen(listen) {
			return fmt.Errorf("service.listen: %q is none of PORT, ADDRESS:PORT and /PATH", listen)
		}
	}
	for _, dir := range s.ReadWritePaths {
		if badUnitPath(dir) {
			return fmt.Errorf("service.read_write_paths: %q is no plain absolute path", dir)
		}
	}
	return nil
}

func checkCommand(command []string) error {
	if len(command) == 0 || !program.MatchString(command[0]) || path.Clean(command[0]) != command[0] || strings.HasPrefix(command[0], "..") {
		return fmt.Errorf("%q does not begin with the plain path of a program, absolute or below the release", command)
	}
	if strings.ContainsAny(command[0][:1], "@+-") {
		return fmt.Errorf("program %q begins with a character that has a meaning in ExecStart", command[0])
	}
	for _, arg := range command[1:] {
		if err := oneLine(arg); err != nil {
			return err
		}
	}
	return nil
}

// oneLine refuses a text that would not stay on its line of a unit file.
func oneLine(s string) error {
	if !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		return fmt.Errorf("%q has a control character", s)
	}
	return nil
}

func badUnitPath(p string) bool { return !unitPath.MatchString(p) || path.Clean(p) != p }

// badListen takes what ListenStream takes of stream sockets, but for abstract
// ones, which anybody may occupy.
func badListen(s string) bool {
	if strings.HasPrefix(s, "/") {
		return badUnitPath(s)
	}
	if n, err := strconv.Atoi(s); err == nil {
		return n < 1 || n > 65535 || strconv.Itoa(n) != s
	}
	addr, err := netip.ParseAddrPort(s)
	return err != nil || addr.Port() == 0 || addr.Addr().Zone() != ""
}
