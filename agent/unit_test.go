package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"bakehouse/internal/agentconf"
	"bakehouse/internal/fault"
)

// renders has the agent render the app's unit and socket.
func (w *world) renders() {
	w.conf.App.Owner = me(w.t)
	w.conf.App.Service = &agentconf.Service{Command: []string{"web", "-greet", `say "100%" $now`}, Listen: []string{"8080"},
		Environment: map[string]string{"B": "2", "A": `back\slash`}, Credentials: map[string]string{"db": "/run/secrets/db"},
		ReadWritePaths: []string{"/var/cache/web"}, MemoryMiB: 64, Tasks: 50}
}

// me is a user that exists and is not root, for Chown to find.
func me(t *testing.T) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("these tests give files away: run them as root") // as the suite does
	}
	return "nobody"
}

func TestRenderedUnitSaysWhatWasAskedAndIsFenced(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.renders()
	w.boot()
	unit := w.read("/etc/systemd/system/web.service")
	for _, line := range []string{
		"User=nobody", "WorkingDirectory=/srv/web/current", `ExecStart=/srv/web/current/web "-greet" "say \"100%%\" $$now"`,
		`Environment="A=back\\slash"`, `Environment="B=2"`, "LoadCredential=db:/run/secrets/db", "MemoryMax=64M", "TasksMax=50",
		"ReadWritePaths=/srv/web/shared", "ReadWritePaths=/var/cache/web", "NoNewPrivileges=yes", "ProtectSystem=strict",
		"CapabilityBoundingSet=", "Requires=web.socket", "After=web.socket", "Type=exec", "WantedBy=multi-user.target",
	} {
		if !strings.Contains("\n"+unit, "\n"+line+"\n") {
			t.Errorf("the unit lacks %q:\n%s", line, unit)
		}
	}
	if socket := w.read("/etc/systemd/system/web.socket"); !strings.Contains(socket, "\nListenStream=8080\n") {
		t.Errorf("the socket:\n%s", socket)
	}
	for link, want := range map[string]string{"multi-user.target.wants/web.service": "/etc/systemd/system/web.service", "sockets.target.wants/web.socket": "/etc/systemd/system/web.socket"} {
		if got, err := os.Readlink(filepath.Join(w.root, "etc/systemd/system", link)); got != want {
			t.Errorf("%s leads to %q (%v)", link, got, err)
		}
	}
}

// calls lists what systemctl was asked to do, without questions.
func (w *world) calls(from int) []string {
	return slices.DeleteFunc(slices.Clone(w.runs[from:]), func(r string) bool {
		return !strings.HasPrefix(r, "systemctl ") || strings.HasPrefix(r, "systemctl show ")
	})
}

func TestSocketIsOpenedOnceAndStaysOpen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.renders()
	w.boot()
	want := []string{"systemctl daemon-reload", "systemctl stop web.service", "systemctl restart web.socket", "systemctl reset-failed web.service", "systemctl restart web.service"}
	if got := w.calls(0); !slices.Equal(got, want) {
		t.Errorf("first boot did\n%q\nwant\n%q", got, want)
	}
	w.push("second build")
	from := len(w.runs)
	if err := w.agent().Deploy(context.Background()); err != nil {
		t.Fatal(err)
	}
	want = []string{"systemctl start web.socket", "systemctl reset-failed web.service", "systemctl restart web.service"}
	if got := w.calls(from); !slices.Equal(got, want) {
		t.Errorf("a deploy did\n%q\nwant the socket left open:\n%q", got, want)
	}
}

func TestUnitThatSystemdHasNotReadYetIsLoaded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.renders()
	w.trace = killAt(UnitWritten) // written, and never loaded
	if err := w.agent().FirstBoot(context.Background()); !errors.Is(err, errKilled) {
		t.Fatal(err)
	}
	from := len(w.runs)
	w.systemctl = func(args []string, out io.Writer) error {
		if slices.Contains(args, "--property=NeedDaemonReload") {
			fmt.Fprintln(out, "NeedDaemonReload=yes")
		}
		return nil
	}
	w.boot()
	if got := w.calls(from); len(got) == 0 || got[0] != "systemctl daemon-reload" {
		t.Errorf("after the kill: %q, want the files loaded first", got)
	}
}

func TestSocketThatCannotBeOpenedIsNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.renders()
	w.systemctl = func(args []string, out io.Writer) error {
		if slices.Equal(args, []string{"restart", "web.socket"}) {
			fmt.Fprintln(out, "Job for web.socket failed.")
			return &ExitError{Code: 1}
		}
		return nil
	}
	w.fails(fault.Check, "web.socket", "Job for web.socket failed.")
}

func TestAppWithAUnitOfItsOwnGetsNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.boot()
	if unit := w.read("/etc/systemd/system/web.service"); unit != "" {
		t.Errorf("rendered\n%s", unit)
	}
}

func TestWhatCannotBeRenderedIsRefused(t *testing.T) {
	t.Parallel()
	for word, spoil := range map[string]func(*agentconf.App){
		"as root":                       func(a *agentconf.App) { a.Owner = "root" },
		"user of its own":               func(a *agentconf.App) { a.Owner = "web\nUser=root" },
		"is not NAME.service":           func(a *agentconf.App) { a.Unit = "../web.service" },
		"no plain absolute path":        func(a *agentconf.App) { a.Root = "/srv/we b" },
		"name":                          func(a *agentconf.App) { a.Name = "web\nExecStartPre=/bin/sh" },
		"service.command":               func(a *agentconf.App) { a.Service.Command = nil },
		"path of a program":             func(a *agentconf.App) { a.Service.Command = []string{"../../bin/sh"} },
		"has a meaning":                 func(a *agentconf.App) { a.Service.Command = []string{"+web"} },
		"control character":             func(a *agentconf.App) { a.Service.Command = []string{"web", "x\nUser=root"} },
		"no name of a variable":         func(a *agentconf.App) { a.Service.Environment = map[string]string{"A B": "1"} },
		"service.environment: A":        func(a *agentconf.App) { a.Service.Environment = map[string]string{"A": "1\r\nUser=root"} },
		"service.credentials":           func(a *agentconf.App) { a.Service.Credentials = map[string]string{"db": "relative"} },
		`service.credentials: "d:b"`:    func(a *agentconf.App) { a.Service.Credentials = map[string]string{"d:b": "/x"} },
		"service.listen":                func(a *agentconf.App) { a.Service.Listen = []string{"8080\nExecStartPre=/bin/sh"} },
		`service.listen: "@abstract"`:   func(a *agentconf.App) { a.Service.Listen = []string{"@abstract"} },
		`service.listen: "70000"`:       func(a *agentconf.App) { a.Service.Listen = []string{"70000"} },
		`service.read_write_paths: "/"`: func(a *agentconf.App) { a.Service.ReadWritePaths = []string{"/"} },
		"negative":                      func(a *agentconf.App) { a.Service.MemoryMiB = -1 },
	} {
		w := newWorld(t)
		w.renders()
		spoil(w.conf.App)
		if _, err := New(w.conf, Deps{}); fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error(), word) {
			t.Errorf("error is %v, want one with %q", err, word)
		}
	}
}

// Whatever texts pass the check, a unit has no line but its own.
func TestNoValueAddsALineToAUnit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.renders()
	keys := func(unit string) (keys []string) {
		for line := range strings.Lines(unit) {
			key, _, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
			keys = append(keys, key)
		}
		return keys
	}
	want := keys(renderService(w.conf.App))
	rapid.Check(t, func(r *rapid.T) {
		app := *w.conf.App
		service := *app.Service
		app.Service = &service
		service.Command = []string{"web", rapid.String().Draw(r, "argument"), "last"}
		service.Environment = maps.Clone(service.Environment)
		service.Environment["A"] = rapid.String().Draw(r, "value")
		if checkService(&app) != nil {
			return
		}
		if got := keys(renderService(&app)); !slices.Equal(got, want) {
			r.Fatalf("lines %q, want %q", got, want)
		}
	})
}
