package autoscale

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"bakehouse/internal/fault"
)

const base = `version: 2
region: us-east-1
groups:
  web:
    capacity: {min: 1, max: 4}
    launch: {image: ami-1, type: t3.small}
    network: {zones: [us-east-1a]}
`

// allFields has a pair of values for every field of the file: those of
// fieldCases, and for the rest two that its type and AWS's words allow.
func allFields() map[string][2]string {
	out, cases := map[string][2]string{}, fieldCases()
	var walk func(t reflect.Type, path string, sdk reflect.Type)
	walk = func(t reflect.Type, path string, sdk reflect.Type) {
		for i, key := range keysOf(t) {
			f, at := t.Field(i), join(path, key)
			inner, at := inside(f.Type, at)
			if at == "refresh" {
				continue // of no group in AWS
			}
			if _, whole := cases[at]; whole {
				continue // the case writes the section
			}
			if inner.Kind() == reflect.Struct && inner != reflect.TypeFor[Desired]() {
				walk(inner, at, place(f, sdk))
			} else if key == "period" && cases[at] == [2]string{} {
				out[at] = [2]string{"30", "60"}
			} else if key == "expression" {
				out[at] = [2]string{"1 + 2", "2 * 3"}
			} else if at != "use" {
				out[at] = pair(f.Type, words(f, sdk))
			}
		}
	}
	root, _ := counterpart(reflect.TypeFor[Group]())
	walk(reflect.TypeFor[Group](), "", root)
	maps.Copy(out, cases)
	for _, path := range refusedFields() {
		delete(out, path)
	}
	return out
}

func TestFieldsThatStandInTheWrongSectionAreRefused(t *testing.T) {
	t.Parallel()
	for _, path := range refusedFields() {
		value := "1"
		if strings.HasSuffix(path, "transit") {
			value = "true"
		}
		text := fileOf(map[string]string{"web": with(path, value)})
		last := path[strings.LastIndexByte(path, '.')+1:]
		if _, err := Parse("autoscale.yaml", []byte(text)); fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error(), "."+last+": ") {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// inside takes pointers off t, and the list or map around sections; path gets
// a step for each.
func inside(t reflect.Type, path string) (reflect.Type, string) {
	for {
		switch {
		case t.Kind() == reflect.Pointer:
			t = t.Elem()
		case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct:
			t, path = t.Elem(), path+".[]"
		case t.Kind() == reflect.Map && t.Elem().Kind() == reflect.Struct:
			t, path = t.Elem(), path+".k"
		default:
			return t, path
		}
	}
}

// pair is two values of t.
func pair(t reflect.Type, words []string) [2]string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	quoted := func(i int, other string) string {
		if len(words) > 0 {
			other = words[(i+len(words))%len(words)]
		}
		return "'" + other + "'"
	}
	switch t.Kind() {
	case reflect.Bool:
		return [2]string{"true", "false"}
	case reflect.Int:
		return [2]string{"2", "3"}
	case reflect.Float64:
		return [2]string{"1.5", "2"}
	case reflect.Slice:
		return [2]string{"[" + quoted(0, "a1") + ", " + quoted(1, "a2") + "]", "[" + quoted(-1, "b1") + "]"}
	case reflect.Map:
		if t.Elem().Kind() == reflect.Map {
			return [2]string{"{volume: {A: x, B: y}}", "{instance: {A: z}, volume: {C: x}}"}
		}
		return [2]string{"{A: x, B: y}", "{C: z}"}
	}
	return [2]string{quoted(0, "a1"), quoted(-1, "b1")}
}

// with is a group that has value at path, and what that needs beside it.
func with(path, value string) string {
	parts := strings.Split(path, ".")
	given := fieldCases()[path] != [2]string{}
	text := parts[len(parts)-1] + ": " + value
	for i := len(parts) - 1; i >= 0; i-- {
		if i < len(parts)-1 {
			switch {
			case parts[i] == "[]":
				text = "[{" + text + "}]"
				continue
			case parts[i+1] == "[]":
				text = parts[i] + ": " + text
			default:
				text = parts[i] + ": {" + text + "}"
			}
		}
		if beside := companions(parts[:i], parts[i]); beside != "" && (i < len(parts)-1 || !given) {
			text += ", " + beside
		}
	}
	if parts[0] == "alarms" {
		text += ", policies: {up: {type: ChangeInCapacity, adjustment: 1}, down: {type: ChangeInCapacity, adjustment: -1}}"
	}
	return text
}

// fileOf is a file with the groups of these names and texts.
func fileOf(groups map[string]string) string {
	var b strings.Builder
	b.WriteString("version: 2\nregion: us-east-1\n" +
		"defaults: {capacity: {min: 1, max: 4}, launch: {image: ami-1, type: t3.small}, network: {zones: [us-east-1a]}}\ngroups:\n")
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		fmt.Fprintf(&b, "  %s: {%s}\n", name, strings.ReplaceAll(groups[name], "NAME", name))
	}
	return b.String()
}

// companions are the fields that child needs in the section, but for itself.
func companions(section []string, child string) string {
	prefix := strings.Join(section, ".") + "."
	best, found := "", ""
	for key, text := range company() {
		rest, in := strings.CutPrefix(key, prefix)
		if in && strings.HasPrefix(child, rest) && len(key) > len(best) {
			best, found = key, text
		}
	}
	var out []string
	for _, p := range strings.Split(found, ", ") {
		if !strings.HasPrefix(p, child+":") {
			out = append(out, p)
		}
	}
	return strings.Join(out, ", ")
}

// fieldGroups has a group for every field: its name to the field's path. One
// file of them all takes far fewer calls than one for each.
func fieldGroups() map[string]string {
	out := map[string]string{}
	for i, path := range slices.Sorted(maps.Keys(allFields())) {
		out[fmt.Sprintf("field-%03d", i)] = path
	}
	return out
}

// fieldFile gives each field its first (0) or second (1) value.
func fieldFile(t *testing.T, which int) string {
	t.Helper()
	all, groups := allFields(), map[string]string{}
	for name, path := range fieldGroups() {
		groups[name] = with(path, all[path][which])
		if _, err := Parse(path, []byte(fileOf(map[string]string{name: groups[name]}))); err != nil {
			t.Fatal(err)
		}
	}
	return fileOf(groups)
}

// settle applies text and says of each field what is left to do, or failed.
// The names of the groups that changed come back.
func (c *cloud) settle(text string) []string {
	c.t.Helper()
	paths := fieldGroups()
	s := mustParse(c.t, text)
	p, o := c.plan(s)
	outcomes, err := p.Apply(context.Background(), c.w, o, silent{})
	var touched []string
	for _, out := range outcomes {
		touched = append(touched, out.Change.Group)
		if out.Err != nil {
			c.t.Errorf("%s: %s: %v", paths[out.Change.Group], out.Change.Kind, out.Err)
		}
	}
	if err != nil {
		c.t.Fatal(err)
	}
	again, _ := c.plan(s)
	for _, change := range again.Changes {
		c.t.Errorf("%s: a second plan is not empty: %s", paths[change.Group], summary(Plan{Changes: []Change{change}}))
	}
	return touched
}

func TestApplyThenPlanIsEmptyForEveryFieldOfAGroupThatExists(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	plain := map[string]string{}
	for name := range fieldGroups() {
		plain[name] = "suspended: []"
	}
	c.settle(fileOf(plain))
	all := allFields()
	for i, which := range []int{0, 1, 0} { // to one value, to the other, and back
		touched := c.settle(fieldFile(t, which))
		for name, path := range fieldGroups() {
			changes := slices.Contains(touched, name) || slices.Contains(touched, name+BackstopSuffix)
			if i != 0 && !changes && all[path][0] != all[path][1] && path != "network.zonal_shift.skip_validation" { // AWS keeps nothing of it
				t.Errorf("%s: writing %s changed nothing", path, all[path][which])
			}
		}
	}
}

func TestApplyThenPlanIsEmptyForEveryFieldOfANewGroup(t *testing.T) {
	t.Parallel()
	newCloud(t).settle(fieldFile(t, 1))
	c := newCloud(t)
	c.settle(fieldFile(t, 0))
	c.imports(slices.Collect(maps.Keys(fieldGroups())))
}

// imports writes groups as a file, of which a plan has to be empty.
func (c *cloud) imports(names []string) {
	c.t.Helper()
	s, err := Import(context.Background(), c.w, "us-east-1", names)
	if err != nil {
		c.t.Fatal(err)
	}
	b, err := Encode(s)
	if err != nil {
		c.t.Fatal(err)
	}
	p, _ := c.plan(mustParse(c.t, string(b)))
	for _, change := range p.Changes {
		c.t.Errorf("import of %s: %s", fieldGroups()[change.Group], summary(Plan{Changes: []Change{change}}))
	}
}

func TestEveryCaseIsOfAField(t *testing.T) {
	t.Parallel()
	all := slices.Collect(maps.Keys(allFields()))
	if len(all) < 250 {
		t.Errorf("only %d fields are walked", len(all))
	}
	for path := range fieldCases() {
		if !strings.HasSuffix(path, "]") && !slices.Contains(all, path) {
			t.Errorf("no field stands at %s", path)
		}
	}
}
