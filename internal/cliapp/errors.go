package cliapp

import (
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"bakehouse/internal/fault"
)

// Usagef makes a usage error (exit code 2). Without a next step of its own it
// is printed with a pointer to the command's --help.
func Usagef(format string, args ...any) error {
	return fault.Newf(fault.Usage, "", format, args...)
}

// printJSON writes err as one JSON line, for --output json.
func printJSON(w io.Writer, err error) {
	line, merr := json.Marshal(struct {
		Error    string `json:"error"`
		Next     string `json:"next,omitempty"`
		ExitCode int    `json:"exit_code"`
	}{err.Error(), fault.NextOf(err), fault.ExitCode(err)})
	if merr != nil {
		line = []byte(`{"error":"unprintable error","exit_code":1}`)
	}
	fmt.Fprintf(w, "%s\n", line)
}

// flagName finds a flag as the flag package spells it in its errors.
func flagName() *regexp.Regexp { return regexp.MustCompile(`(^|[ :])-([a-zA-Z0-9][\w.-]+)`) }

// usageError turns a parse error of the flag package into one clear line.
func usageError(c *cli.Context, flags []cli.Flag, err error) error {
	const unknown = "flag provided but not defined: -"
	text := err.Error()
	if name, ok := strings.CutPrefix(text, unknown); ok {
		text = "unknown flag " + dashed(name)
		if s := cli.SuggestFlag(flags, name, true); strings.HasPrefix(s, "--") { // a one-letter flag is nobody's typing error
			text += "; did you mean " + s + "?"
		}
	} else {
		text = wanted(flags, flagName().ReplaceAllString(text, "$1--$2"))
	}
	return withHelp(c, Usagef("%s", text))
}

// wanted says what a flag takes where the flag package says "parse error" alone.
func wanted(flags []cli.Flag, text string) string {
	head, ok := strings.CutSuffix(text, ": parse error")
	if !ok {
		return text
	}
	_, name, _ := strings.Cut(head, " --")
	for _, f := range flags {
		if !slices.Contains(f.Names(), name) {
			continue
		}
		switch f.(type) {
		case *cli.DurationFlag:
			return head + ": want a time such as 30s or 5m"
		case *cli.IntFlag, *cli.Int64Flag:
			return head + ": want a whole number"
		case *cli.BoolFlag:
			return head + ": want true or false"
		}
	}
	return text
}

func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

// withHelp adds the pointer to --help to a usage error that has no next step.
func withHelp(c *cli.Context, err error) error {
	if err == nil || fault.KindOf(err) != fault.Usage || fault.NextOf(err) != "" {
		return err
	}
	name := c.App.Name
	if c.Command != nil && c.Command.HelpName != "" {
		name = c.Command.HelpName
	}
	return fault.New(fault.Usage, "see "+name+" --help", err)
}
