package gateway

import (
	"maps"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
)

// cloneForm copies a form deeply, so that handlers may change their copy.
func cloneForm(f url.Values) url.Values {
	out := make(url.Values, len(f))
	for k, v := range f {
		out[k] = slices.Clone(v)
	}
	return out
}

// indexed splits NAME.1.A, NAME.1.B, NAME.2.A … into one form per number, in
// order, with the part after the number as key ("" for a bare NAME.1).
func indexed(f url.Values, name string) []url.Values {
	byNumber := map[int]url.Values{}
	for k, v := range f {
		rest, ok := strings.CutPrefix(k, name+".")
		if !ok {
			continue
		}
		number, key, _ := strings.Cut(rest, ".")
		i, err := strconv.Atoi(number)
		if err != nil {
			continue
		}
		if byNumber[i] == nil {
			byNumber[i] = url.Values{}
		}
		byNumber[i][key] = v
	}
	var out []url.Values
	for _, i := range slices.Sorted(maps.Keys(byNumber)) {
		out = append(out, byNumber[i])
	}
	return out
}

// setIndexed replaces all of NAME.N by list, numbered from 1.
func setIndexed(f url.Values, name string, list []url.Values) {
	for k := range f {
		rest, ok := strings.CutPrefix(k, name+".")
		if !ok {
			continue
		}
		number, _, _ := strings.Cut(rest, ".")
		if _, err := strconv.Atoi(number); err == nil {
			delete(f, k)
		}
	}
	for i, one := range list {
		for key, v := range one {
			full := name + "." + strconv.Itoa(i+1)
			if key != "" {
				full += "." + key
			}
			f[full] = v
		}
	}
}

// flat is indexed for lists of plain values.
func flat(f url.Values, name string) []string {
	var out []string
	for _, one := range indexed(f, name) {
		if v := one.Get(""); v != "" {
			out = append(out, v)
		}
	}
	return out
}

// filter is one Filter.N of a Describe call: any of the values will do.
type filter struct {
	name   string
	values []string
}

// takeFilters removes the filters that local claims from f and returns them;
// moto gets the rest.
func takeFilters(f url.Values, local func(name string) bool) []filter {
	var taken []filter
	var left []url.Values
	for _, one := range indexed(f, "Filter") {
		if !local(one.Get("Name")) {
			left = append(left, one)
			continue
		}
		taken = append(taken, filter{one.Get("Name"), flat(one, "Value")})
	}
	setIndexed(f, "Filter", left)
	return taken
}

// matches reports whether v is one of the filter's values, * and ? being wild.
func (f filter) matches(v string) bool {
	for _, want := range f.values {
		if want == v || glob(want, v) {
			return true
		}
	}
	return false
}

// glob is path.Match with neither brackets nor slashes being special, as in
// EC2's filters.
func glob(pattern, v string) bool {
	if !strings.ContainsAny(pattern, "*?") {
		return false
	}
	plain := strings.NewReplacer("[", `\[`, "/", "\x00", `\`, `\\`)
	ok, err := path.Match(plain.Replace(pattern), strings.ReplaceAll(v, "/", "\x00"))
	return err == nil && ok
}

// passes reports whether an item of a reply matches all filters, each read at
// the path that fields gives for its name.
func passes(item *node, filters []filter, fields map[string][]string) bool {
	for _, f := range filters {
		if !f.matches(item.value(fields[f.name]...)) {
			return false
		}
	}
	return true
}
