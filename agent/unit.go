package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"bakehouse/internal/agentconf"
)

const (
	unitDir          = "/etc/systemd/system"
	defaultUnitStart = time.Minute // for a unit of Type=notify to say that it is up
)

// socketUnit is the socket that activates app's unit, "" when the agent
// renders none.
func socketUnit(app *agentconf.App) string {
	if app.Service == nil || len(app.Service.Listen) == 0 {
		return ""
	}
	return strings.TrimSuffix(app.Unit, ".service") + ".socket"
}

// renderService is the unit of an app that brings none of its own. It may write
// to the app's shared directory and what ReadWritePaths name, has no capability
// and gets none, and sees no home directory. Memory that is writable and
// executable stays allowed: run times with a compiler of their own need it.
//
// The values were checked (checkService), so that none can end its line.
func renderService(app *agentconf.App) string {
	s := app.Service
	var b strings.Builder
	line := func(key, value string) { b.WriteString(key + "=" + value + "\n") }
	b.WriteString("# Rendered by boot-agent from " + agentconf.ConfigPath + "; a change made here is lost.\n[Unit]\n")
	line("Description", "App "+app.Name)
	line("After", "network.target")
	if socket := socketUnit(app); socket != "" {
		line("Requires", socket)
		line("After", socket)
	}
	b.WriteString("\n[Service]\n")
	if s.Notify {
		line("Type", "notify")
	} else {
		line("Type", "exec")
	}
	limit := time.Duration(app.Health.Timeout)
	if limit <= 0 {
		limit = defaultUnitStart
	}
	line("TimeoutStartSec", strconv.Itoa(int(max(limit.Seconds(), 1)))+"s")
	current := path.Join(app.Root, "current")
	line("WorkingDirectory", current)
	line("ExecStart", commandLine(current, s.Command))
	for _, name := range slices.Sorted(maps.Keys(s.Environment)) {
		line("Environment", quoted(name+"="+s.Environment[name]))
	}
	for _, name := range slices.Sorted(maps.Keys(s.Credentials)) {
		line("LoadCredential", name+":"+s.Credentials[name])
	}
	if s.MemoryMiB > 0 {
		line("MemoryMax", strconv.Itoa(s.MemoryMiB)+"M")
	}
	if s.Tasks > 0 {
		line("TasksMax", strconv.Itoa(s.Tasks))
	}
	line("User", app.Owner)
	for _, dir := range append([]string{path.Join(app.Root, "shared")}, s.ReadWritePaths...) {
		line("ReadWritePaths", dir)
	}
	b.WriteString(fences)
	b.WriteString("\n[Install]\nWantedBy=multi-user.target\n")
	return b.String()
}

// fences is what every rendered unit is held by (systemd.exec(5)).
const fences = `Restart=on-failure
RestartSec=1s
TimeoutStopSec=30s
UMask=0027
LimitCORE=0
KeyringMode=private
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectProc=invisible
ProtectClock=yes
ProtectHostname=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RemoveIPC=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
`

// renderSocket is the socket that systemd holds open while the app restarts:
// what connects meanwhile waits in its queue and is refused nothing.
func renderSocket(app *agentconf.App) string {
	var b strings.Builder
	b.WriteString("# Rendered by boot-agent from " + agentconf.ConfigPath + "; a change made here is lost.\n[Unit]\nDescription=Sockets of app " + app.Name + "\n\n[Socket]\n")
	for _, listen := range app.Service.Listen {
		b.WriteString("ListenStream=" + listen + "\n")
	}
	b.WriteString("NoDelay=yes\nSocketUser=" + app.Owner + "\nSocketMode=0660\n\n[Install]\nWantedBy=sockets.target\n")
	return b.String()
}

// commandLine is a command as ExecStart takes it, its program below dir unless
// its path is absolute.
func commandLine(dir string, command []string) string {
	words := []string{command[0]}
	if !path.IsAbs(command[0]) {
		words[0] = path.Join(dir, command[0])
	}
	for _, arg := range command[1:] {
		words = append(words, quoted(strings.ReplaceAll(arg, "$", "$$")))
	}
	return strings.Join(words, " ")
}

// quoted is one word of a unit file, taken as it stands (systemd.syntax(7)).
func quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `%`, `%%`).Replace(s) + `"`
}

// unitFile is a file below unitDir.
type unitFile struct{ name, content, target string }

// unitFiles lists what the agent renders, in the order in which it is written.
func unitFiles(app *agentconf.App) []unitFile {
	files := []unitFile{{app.Unit, renderService(app), "multi-user.target"}}
	if socket := socketUnit(app); socket != "" {
		files = append([]unitFile{{socket, renderSocket(app), "sockets.target"}}, files...)
	}
	return files
}

// renderUnits brings the app's rendered units on disk and into systemd, and its
// socket up. A socket that changed is opened anew, for which the app has to stop.
func (s *session) renderUnits(ctx context.Context) error {
	app := s.conf.App
	if app.Service == nil {
		return nil
	}
	changed := map[string]bool{}
	for _, f := range unitFiles(app) {
		c, err := s.writeUnit(f)
		if err != nil {
			return fmt.Errorf("rendering unit %s: %w", f.name, onDisk(err))
		}
		changed[f.name] = c
	}
	if err := s.reached(UnitWritten); err != nil {
		return err
	}
	stale, err := s.staleUnits(ctx)
	if err == nil && (stale || slices.Contains(slices.Collect(maps.Values(changed)), true)) {
		err = s.control(ctx, "daemon-reload")
	}
	socket := socketUnit(app)
	if err != nil || socket == "" {
		return err
	}
	if !changed[socket] && !stale {
		return s.control(ctx, "start", socket)
	}
	if err := s.control(ctx, "stop", app.Unit); err != nil {
		return err
	}
	return s.control(ctx, "restart", socket)
}

// staleUnits says whether systemd goes by older files than those on disk, as
// after a kill between writing and loading them.
func (s *session) staleUnits(ctx context.Context) (bool, error) {
	var out bytes.Buffer
	args := []string{"show", "--property=NeedDaemonReload", s.conf.App.Unit}
	if socket := socketUnit(s.conf.App); socket != "" {
		args = append(args, socket)
	}
	err := s.deps.Runner.Run(ctx, Command{Path: "systemctl", Args: args, Out: &out})
	return strings.Contains(out.String(), "NeedDaemonReload=yes"), wrap("asking systemd about "+s.conf.App.Unit, err)
}

// writeUnit writes f and the link by which its target wants it. It reports
// whether the file had another content.
func (s *session) writeUnit(f unitFile) (changed bool, err error) {
	file, wants := s.path(unitDir, f.name), s.path(unitDir, f.target+".wants")
	if err := mkdirAll(wants); err != nil {
		return false, err
	}
	old, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if string(old) != f.content {
		changed = true
		if err := writeFile(file, []byte(f.content), 0o644); err != nil {
			return false, err
		}
	}
	link := filepath.Join(wants, f.name)
	if _, err := os.Lstat(link); errors.Is(err, fs.ErrNotExist) {
		if err := os.Symlink(path.Join(unitDir, f.name), link); err != nil {
			return false, err
		}
		return changed, syncDir(wants)
	}
	return changed, nil
}

// control runs systemctl for the app and says what went wrong.
func (s *session) control(ctx context.Context, args ...string) error {
	var out bytes.Buffer
	err := s.deps.Runner.Run(ctx, Command{Path: "systemctl", Args: args, Out: &out})
	if err != nil && ctx.Err() == nil {
		err = s.startFault(ctx, fmt.Errorf("starting %s: systemctl %s: %w%s", s.conf.App.Unit, strings.Join(args, " "), err, lastLine(out.String())))
	}
	return err
}

// appUnits are the app's unit and before it the sockets that would start it
// again at the next connection.
func (a *Agent) appUnits(ctx context.Context) []string {
	var out bytes.Buffer
	unit := a.conf.App.Unit
	if err := a.deps.Runner.Run(ctx, Command{Path: "systemctl", Args: []string{"show", "--property=TriggeredBy", unit}, Out: &out}); err != nil {
		return []string{unit}
	}
	_, triggers, _ := strings.Cut(strings.TrimSpace(out.String()), "=")
	units := slices.DeleteFunc(strings.Fields(triggers), func(u string) bool { return !strings.HasSuffix(u, ".socket") })
	return append(units, unit)
}
