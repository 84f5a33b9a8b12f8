package cliapp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"

	"github.com/urfave/cli/v2"

	"bakehouse/internal/fault"
)

// ran is what one run of the test tool left behind.
type ran struct {
	code           int
	stdout, stderr string
	action         string // what the action saw
}

// tool makes an app with the commands push (a flag of each sort), fail and a
// nested one; act is what fail does.
func tool(seen *string, act cli.ActionFunc) *cli.App {
	flags := func() []cli.Flag {
		return []cli.Flag{&cli.StringFlag{Name: "app"}, &cli.IntFlag{Name: "keep"}, &cli.BoolFlag{Name: "force"}, &cli.DurationFlag{Name: "wait"}, OutputFlag()}
	}
	push := func(c *cli.Context) error {
		args, err := Arguments(c, "DIR", "[NOTE]")
		if err != nil {
			return err
		}
		*seen = fmt.Sprintf("push %q app=%s keep=%d force=%t", args, c.String("app"), c.Int("keep"), c.Bool("force"))
		return nil
	}
	return &cli.App{Name: "tool", Version: "v1", Commands: []*cli.Command{
		{Name: "push", Flags: flags(), Action: push},
		{Name: "fail", Flags: flags(), Action: act},
		{Name: "key", Subcommands: []*cli.Command{{Name: "push", Flags: flags(), Action: push}}},
	}}
}

func run(act cli.ActionFunc, signals chan os.Signal, args ...string) ran {
	var out, errs bytes.Buffer
	var r ran
	p := Process{Args: append([]string{"tool"}, args...), Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs,
		Getenv: func(string) string { return "" }}
	r.code = Run(context.Background(), p, tool(&r.action, act), signals)
	r.stdout, r.stderr = out.String(), errs.String()
	return r
}

func TestTheVersionIsTheOneThatTheBuildGives(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]struct {
		given string
		info  debug.BuildInfo
	}{
		"v1.2":          {"v1.2", debug.BuildInfo{Main: debug.Module{Version: "v1.1"}}},
		"v1.1":          {"", debug.BuildInfo{Main: debug.Module{Version: "v1.1"}}},
		"0123456789ab+": {"", debug.BuildInfo{Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "0123456789abcdef"}, {Key: "vcs.modified", Value: "true"}}}},
		"unknown":       {},
	} {
		if got := versionOf(c.given, c.info); got != want {
			t.Errorf("%+v gives %s, want %s", c, got, want)
		}
	}
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil || !strings.Contains(string(makefile), "-X bakehouse/internal/cliapp.version=$(VERSION)") {
		t.Errorf("the Makefile gives the tools no version (%v)", err)
	}
}

func TestFlagsMayStandAnywhere(t *testing.T) {
	t.Parallel()
	const want = `push ["dir" ""] app=web keep=3 force=true`
	for _, args := range []string{
		"push dir --app web --keep 3 --force",
		"push --app web dir --force --keep=3",
		"push -force -app=web -keep 3 dir",
		"push --app web --keep 3 --force -- dir",
		"key push dir --app web --keep 3 --force",
	} {
		if r := run(nil, nil, strings.Fields(args)...); r.action != want || r.code != 0 {
			t.Errorf("%s: code %d, action saw %s, want %s\n%s", args, r.code, r.action, want, r.stderr)
		}
	}
	if r := run(nil, nil, "push", "dir", "--", "--app"); r.action != `push ["dir" "--app"] app= keep=0 force=false` {
		t.Errorf("after -- everything is an argument, the action saw %s", r.action)
	}
	if r := run(nil, nil, "push", "push", "help"); r.action != `push ["push" "help"] app= keep=0 force=false` {
		t.Errorf("arguments named like commands stay arguments, the action saw %s", r.action)
	}
}

func TestUsageErrorsAreShortAndClear(t *testing.T) {
	t.Parallel()
	long := func(*cli.Context) error { return Usagef("bad:%s", strings.Repeat("\nmore", 20)) }
	cases := []struct{ args, want string }{
		{"", "no command given; there are push, fail, key"},
		{"pusj", `unknown command "pusj": did you mean "push"? (there are push, fail, key)`},
		{"zzz dir", `unknown command "zzz"`},
		{"key pull", `unknown command "pull"`},
		{"--ap x", "unknown flag --ap"},
		{"push --forca", "unknown flag --forca; did you mean --force?"},
		{"push dir --keep many", `invalid value "many" for flag --keep: want a whole number`},
		{"push dir --force=perhaps", `invalid boolean value "perhaps" for --force: want true or false`},
		{"push dir --wait 5", `invalid value "5" for flag --wait: want a time such as 30s or 5m`},
		{"push dir --app", "flag needs an argument: --app"},
		{"push", "missing argument DIR"},
		{"push a b c", `unexpected argument "c"`},
		{"fail", "bad:"},
	}
	for _, c := range cases {
		r := run(long, nil, strings.Fields(c.args)...)
		if r.code != 2 || !strings.HasPrefix(r.stderr, "tool: error: ") || !strings.Contains(r.stderr, c.want) {
			t.Errorf("%q: code %d, want 2 and %q in\n%s", c.args, r.code, c.want, r.stderr)
		}
		if n := strings.Count(r.stderr, "\n"); n > 5 || r.stdout != "" {
			t.Errorf("%q: %d lines on stderr (at most 5), %q on stdout (want nothing)", c.args, n, r.stdout)
		}
		if !strings.Contains(r.stderr, "  next: see tool") {
			t.Errorf("%q: no pointer to --help in\n%s", c.args, r.stderr)
		}
	}
}

func TestHelpGoesToStdoutWithTheExitCodes(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"--help", "-h", "push --help", "push dir -h", "help push", "help", "key --help", "key push --help"} {
		r := run(nil, nil, strings.Fields(args)...)
		if r.code != 0 || r.stderr != "" || !strings.Contains(r.stdout, "EXIT CODES:\n"+fault.Help()) {
			t.Errorf("%s: code %d, stderr %q, or no exit codes in\n%s", args, r.code, r.stderr, r.stdout)
		}
	}
	if r := run(nil, nil, "push", "--help"); strings.Contains(r.stdout, "default: false") {
		t.Errorf("a switch is said to be off unless given:\n%s", r.stdout)
	}
	if r := run(nil, nil, "--version"); r.stdout != "tool v1\n" {
		t.Errorf("--version printed %q", r.stdout)
	}
}

func TestErrorsKeepTheirKindAndNextStep(t *testing.T) {
	t.Parallel()
	act := func(*cli.Context) error {
		return fault.New(fault.AWS, "ask for rights", errors.New("reading bucket: denied"))
	}
	r := run(act, nil, "fail")
	if want := "tool: error: reading bucket: denied\n  next: ask for rights\n"; r.code != 5 || r.stderr != want {
		t.Errorf("code %d, printed %q, want 5 and %q", r.code, r.stderr, want)
	}
	r = run(act, nil, "fail", "--output", "json")
	if want := `{"error":"reading bucket: denied","next":"ask for rights","exit_code":5}` + "\n"; r.stderr != want {
		t.Errorf("--output json printed %q, want %q", r.stderr, want)
	}
}

func TestWhatWasLeftBehindIsListedWhole(t *testing.T) {
	t.Parallel()
	list := "cleaning up:" + strings.Repeat("\n  i-1 remains", 9)
	act := func(*cli.Context) error {
		return fault.New(fault.Leftover, "terminate them", errors.New("\x1b[31m"+list))
	}
	if r := run(act, nil, "fail"); r.code != 7 || r.stderr != "tool: error: "+list+"\n  next: terminate them\n" {
		t.Errorf("code %d, printed\n%s", r.code, r.stderr)
	}
}

func TestASignalEndsTheActionAndGivesTheCode(t *testing.T) {
	t.Parallel()
	wait := func(then error) cli.ActionFunc {
		return func(c *cli.Context) error { <-c.Context.Done(); return then }
	}
	cases := []struct {
		name string
		sig  os.Signal
		err  error
		code int
		text string
	}{
		{"ctrl-c", os.Interrupt, fmt.Errorf("launching: %w", context.Canceled), 130, "interrupted by SIGINT: launching: context canceled"},
		{"jenkins abort", syscall.SIGTERM, fault.New(fault.AWS, "", errors.New("x")), 143, "interrupted by SIGTERM: x"},
		{"closed terminal", syscall.SIGHUP, context.Canceled, 143, "interrupted by SIGHUP"},
		{"named once", os.Interrupt, fmt.Errorf("a: %w", &Signal{os.Interrupt}), 130, "interrupted by SIGINT: a"},
		{"something left behind", os.Interrupt, fault.New(fault.Leftover, "", errors.New("i-1 remains")), 7, "i-1 remains"},
		{"finished all the same", os.Interrupt, nil, 0, ""},
	}
	for _, c := range cases {
		signals := make(chan os.Signal, 1)
		signals <- c.sig
		r := run(wait(c.err), signals, "fail")
		if r.code != c.code || !strings.Contains(r.stderr, c.text) {
			t.Errorf("%s: code %d, want %d and %q in\n%s", c.name, r.code, c.code, c.text, r.stderr)
		}
	}
}

func TestOutputOfRefusesOtherFormats(t *testing.T) {
	t.Parallel()
	act := func(c *cli.Context) error { _, err := OutputOf(c); return err }
	if r := run(act, nil, "fail", "-o", "xml"); r.code != 2 || !strings.Contains(r.stderr, "--output xml: want auto, plain or json") {
		t.Errorf("code %d, printed %q", r.code, r.stderr)
	}
	if r := run(act, nil, "fail", "-o", "json"); r.code != 0 {
		t.Errorf("json was refused: %s", r.stderr)
	}
}

func TestStringPrefersFlagThenFileThenDefault(t *testing.T) {
	t.Parallel()
	got := ""
	app := func() *cli.App {
		return &cli.App{Name: "tool", Flags: []cli.Flag{&cli.StringFlag{Name: "region", Value: "default"}},
			Action: func(c *cli.Context) error {
				got = String(c, "region", "file") + " " + String(c, "region", "")
				return nil
			}}
	}
	for args, want := range map[string]string{"tool": "file default", "tool --region flag": "flag flag"} {
		p := Process{Args: strings.Fields(args), Stdout: &bytes.Buffer{}, Stderr: &bytes.Buffer{}}
		if code := Run(context.Background(), p, app(), nil); code != 0 || got != want {
			t.Errorf("%s: code %d, got %q, want %q", args, code, got, want)
		}
	}
}
