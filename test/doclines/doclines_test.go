package doclines

import (
	"reflect"
	"testing"
)

const page = "Run `tool plan FILE` or `tool apply\n--yes`; `tool` alone, `other plan` and a tool plan in prose are none.\n\n" +
	"    tool import --region R G...   writes a file\n    $ sudo bin/tool --keep=N [DIR] | tee log  # all of it\n\n" +
	"```sh\nA=b tool push \\\n  ./build --app web && echo done\n```\n`tool after`\n" +
	"1. list\n\n   ```sh\n   exec tool sweep\n   ```\n"

func TestLinesAreFoundInBlocksAndSpans(t *testing.T) {
	t.Parallel()
	want := []Line{{"1", []string{"tool", "plan", "file.yaml"}}, {"1", []string{"tool", "apply", "--yes"}}, {"4", []string{"tool", "import", "--region", "0", "0"}},
		{"5", []string{"tool", "--keep=0", "0"}}, {"8", []string{"tool", "push", "./build", "--app", "web"}}, {"11", []string{"tool", "after"}}, {"15", []string{"tool", "sweep"}}}
	if got := in(page, "tool", true); !reflect.DeepEqual(got, want) {
		t.Errorf("found\n%q, want\n%q", got, want)
	}
}

func TestALineIsWrongForAFlagOrACommandThatIsNone(t *testing.T) {
	t.Parallel()
	help := func(args []string) (int, string) {
		if args[1] == "--bad" {
			return 2, "unknown flag"
		}
		return 0, "tool plan - says what it would do"
	}
	for want, args := range map[string][]string{"": {"tool", "plan", "--yes"}, "a:1: tool --bad: code 2: unknown flag": {"tool", "--bad"},
		"a:1: tool plot: there is no command plot": {"tool", "plot"}} {
		if got := Wrong(Line{"a:1", args}, help); got != want {
			t.Errorf("%q gives %q, want %q", args, got, want)
		}
	}
}
