package cloudinit

import (
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing"

	"bakehouse/internal/agentconf"
)

// settings reads a unit file: "Section.Key" to its values in order.
func settings(t *testing.T, content []byte) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	section := ""
	for line := range strings.Lines(string(content)) {
		line = strings.TrimSpace(line)
		switch key, value, ok := strings.Cut(line, "="); {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "["):
			section = strings.Trim(line, "[]")
		case ok:
			all[section+"."+key] = append(all[section+"."+key], value)
		default:
			t.Errorf("unit has a line that is no setting: %q", line)
		}
	}
	return all
}

func unitFile(t *testing.T) File {
	t.Helper()
	all, err := Files()
	if err != nil {
		t.Fatal(err)
	}
	return all[0]
}

func TestFilesSurviveCloudInitClean(t *testing.T) {
	t.Parallel()
	all, err := Files()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if !strings.HasPrefix(f.Path, "/etc/systemd/system/") || path.Clean(f.Path) != f.Path {
			t.Errorf("%s is not below /etc/systemd/system, where cloud-init clean does not reach", f.Path)
		}
		if (f.Mode == fs.ModeSymlink) != (f.Link != "") || (f.Link != "" && f.Content != nil) {
			t.Errorf("%s is neither a file nor a link: %+v", f.Path, f)
		}
	}
}

func TestUnitIsEnabledByALink(t *testing.T) {
	t.Parallel()
	all, err := Files()
	if err != nil {
		t.Fatal(err)
	}
	wanted := settings(t, all[0].Content)["Install.WantedBy"]
	if len(wanted) != 1 {
		t.Fatalf("WantedBy is %q, want one target", wanted)
	}
	link := all[len(all)-1]
	if want := "/etc/systemd/system/" + wanted[0] + ".wants/" + Unit; link.Path != want || link.Link != all[0].Path {
		t.Errorf("link %s -> %s, want %s -> %s", link.Path, link.Link, want, all[0].Path)
	}
}

func TestWatchIsEnabledAndOutlivesTheNetworkAtShutdown(t *testing.T) {
	t.Parallel()
	all, err := Files()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(f File) bool { return path.Base(f.Path) == WatchUnit && f.Link == "" })
	j := slices.IndexFunc(all, func(f File) bool { return path.Base(f.Path) == WatchUnit && f.Link != "" })
	if i < 0 || j < 0 || all[j].Link != all[i].Path || !strings.Contains(all[j].Path, "/multi-user.target.wants/") {
		t.Fatalf("files are %+v, want %s and its link", all, WatchUnit)
	}
	s := settings(t, all[i].Content)
	if got := s["Service.ExecStart"]; len(got) != 1 || got[0] != agentconf.BinaryPath+" watch" {
		t.Errorf("it runs %q", got)
	}
	after := strings.Join(s["Unit.After"], " ")
	for _, unit := range []string{"network-online.target", "multi-user.target"} {
		if !strings.Contains(after, unit) {
			t.Errorf("it is not ordered after %s, so that may be gone at its last look", unit)
		}
	}
}

func TestUnitNamesWhatTheBakerInstalls(t *testing.T) {
	t.Parallel()
	s := settings(t, unitFile(t).Content)
	for key, want := range map[string]string{
		"Service.ExecStart":              agentconf.BinaryPath + " first-boot",
		"Service.EnvironmentFile":        "-" + agentconf.EnvPath,
		"Unit.ConditionPathExists":       agentconf.ConfigPath,
		"Unit.ConditionFileIsExecutable": agentconf.BinaryPath,
		"Service.Restart":                "on-failure",
	} {
		if got := strings.Join(s[key], "|"); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
}

func TestUnitWaitsForTheEndOfCloudInit(t *testing.T) {
	t.Parallel()
	after := strings.Fields(strings.Join(settings(t, unitFile(t).Content)["Unit.After"], " "))
	for _, want := range []string{"cloud-final.service", "multi-user.target"} {
		if !strings.Contains(" "+strings.Join(after, " ")+" ", " "+want+" ") {
			t.Errorf("After= does not name %s: %q", want, after)
		}
	}
}
