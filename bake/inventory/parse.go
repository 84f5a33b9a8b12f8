package inventory

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// sections are those of the guest's answer, in order.
func sections() []string {
	return []string{"os", "arch", "base", "kernel", "agent", "chef", "packages", "end"}
}

// Parse reads what the guest script prints. Anything that is not as it should
// be is an error: half an inventory would pass for a small image.
func Parse(out string) (Facts, error) {
	parts, err := split(out)
	if err != nil {
		return Facts{}, fmt.Errorf("reading the inventory: %w", err)
	}
	f := Facts{Arch: first(parts["arch"]), Kernel: first(parts["kernel"]), Agent: first(parts["agent"]), Serial: serial(parts["base"])}
	release := assignments(parts["os"])
	f.OS = OS{ID: release["ID"], Version: release["VERSION_ID"], Name: cmp.Or(release["PRETTY_NAME"], release["NAME"], release["ID"])}
	var named bool
	f.Chef.Name, f.Chef.Version, named = strings.Cut(first(parts["chef"]), "\t")
	for _, told := range []struct {
		what string
		is   bool
	}{{"the distribution", f.OS.ID != ""}, {"the architecture", f.Arch != ""}, {"the agent's version", f.Agent != ""},
		{"the Chef client", named && f.Chef.Version != ""}} {
		if !told.is {
			return f, fmt.Errorf("reading the inventory: %s is not told", told.what)
		}
	}
	if f.Packages, err = packages(parts["packages"]); err != nil {
		return f, fmt.Errorf("reading the inventory: %w", err)
	}
	return f, nil
}

// split cuts the answer into its sections, all of which must be there.
func split(out string) (map[string][]string, error) {
	parts, names, at := map[string][]string{}, sections(), -1
	for n, line := range strings.Split(strings.ReplaceAll(out, "\r\n", "\n"), "\n") {
		switch {
		case at+1 < len(names) && line == "["+names[at+1]+"]":
			at++
		case line == "":
		case at < 0 || at == len(names)-1:
			return nil, fmt.Errorf("line %d: %q belongs to no section", n+1, clip(line))
		default:
			parts[names[at]] = append(parts[names[at]], line)
		}
	}
	if at != len(names)-1 {
		return nil, fmt.Errorf("it ends before section [%s]", names[at+1])
	}
	return parts, nil
}

func first(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return strings.TrimSpace(lines[0])
}

// serial finds the build in cloud images' build.info: "serial: 20260101".
func serial(lines []string) string {
	for _, line := range lines {
		if v, ok := strings.CutPrefix(line, "serial:"); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// assignments reads os-release(5): KEY=VALUE, the value quoted as in a shell.
func assignments(lines []string) map[string]string {
	out := map[string]string{}
	for _, line := range lines {
		key, value, ok := strings.Cut(line, "=")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		value = strings.TrimSpace(value)
		if n := len(value); n >= 2 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
			value = value[1 : n-1]
		}
		out[key] = strings.NewReplacer(`\"`, `"`, `\$`, `$`, "\\`", "`", `\\`, `\`).Replace(value)
	}
	return out
}

// packages reads dpkg-query's lines. What is removed but for its configuration
// is not there; what is only half there is, and says so.
func packages(lines []string) ([]Package, error) {
	var out []Package
	for _, line := range lines {
		w := strings.Split(line, "\t")
		if len(w) != 6 || w[0] == "" {
			return nil, fmt.Errorf("%q is no package: want six words with tabs between", clip(line))
		}
		p := Package{Name: w[0], Version: w[1], Arch: w[2], Status: w[3], Source: w[4], SrcVer: w[5]}
		if p.Status == "config-files" || p.Status == "not-installed" {
			continue
		}
		if p.Version == "" || p.Arch == "" || p.Status == "" {
			return nil, fmt.Errorf("package %s has no version, architecture or status", clip(p.Name))
		}
		if p.Status == "installed" {
			p.Status = ""
		}
		if p.Source == p.Name {
			p.Source = ""
		}
		if p.SrcVer == p.Version {
			p.SrcVer = ""
		}
		out = append(out, p)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("dpkg knows no package")
	}
	slices.SortFunc(out, func(a, b Package) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Arch, b.Arch)) })
	return out, nil
}

func clip(s string) string {
	if r := []rune(s); len(r) > 120 {
		return string(r[:120]) + "…"
	}
	return s
}
