package watch

import (
	"maps"
	"math"
	"slices"
	"strings"
)

// call evaluates a function whose parenthesis is open.
func (p *parser) call(name string) (value, error) {
	if name == "METRICS" {
		return p.metrics()
	}
	repeat := false
	if name == "FILL" { // its second argument may be a word
		if i := slices.Index(p.words[p.at:], "REPEAT"); i >= 0 {
			p.words = slices.Clone(p.words)
			p.words[p.at+i], repeat = "0", true
		}
	}
	args, err := p.list(")")
	if err != nil {
		return value{}, err
	}
	switch {
	case name == "IF" && (len(args) == 3 || len(args) == 2):
		return p.choose(args), nil
	case name == "FILL" && len(args) == 2:
		return p.fill(args[0], args[1], repeat), nil
	case name == "PERIOD" && len(args) == 1:
		return value{scalar: p.q.period.Seconds()}, nil
	case slices.Contains([]string{"ABS", "CEIL", "FLOOR"}, name) && len(args) == 1:
		return zip(args[0], value{}, func(a, _ float64) (float64, bool) { return round(name, a), true }), nil
	case slices.Contains([]string{"SUM", "AVG", "MIN", "MAX"}, name) && len(args) == 1:
		return fold(name, args[0]), nil
	}
	return value{}, refuse("ValidationError", "%s of %d arguments is not supported", name, len(args))
}

func round(name string, a float64) float64 {
	switch name {
	case "ABS":
		return math.Abs(a)
	case "CEIL":
		return math.Ceil(a)
	}
	return math.Floor(a)
}

// metrics is METRICS(), or METRICS("prefix"): the metrics whose id has it.
func (p *parser) metrics() (value, error) {
	prefix := ""
	if !p.take(")") {
		prefix = strings.Trim(p.peek(), `"'`)
		p.at++
		if !p.take(")") {
			return value{}, refuse("ValidationError", "METRICS takes one text")
		}
	}
	var out value
	for _, id := range p.q.order {
		if p.q.byID[id]["MetricStat"] == nil || !strings.Contains(id, prefix) {
			continue
		}
		v, err := p.q.line(id)
		if err != nil {
			return value{}, err
		}
		out.list = append(out.list, v)
	}
	return out, nil
}

// choose is IF; without a third argument the periods that do not hold are missing.
func (p *parser) choose(args []value) value {
	if args[0].line == nil {
		if args[0].scalar != 0 {
			return args[1]
		}
		if len(args) == 3 {
			return args[2]
		}
		return value{line: line{}}
	}
	out := line{}
	for at, truth := range args[0].line {
		pick := 1
		if truth == 0 {
			pick = 2
		}
		if pick < len(args) {
			if v, ok := args[pick].at(at); ok {
				out[at] = v
			}
		}
	}
	return value{line: out}
}

// fill puts a value, or the one before, where a line has none.
func (p *parser) fill(v, with value, repeat bool) value {
	have := p.q.spread(v)
	out := line{}
	last, known := 0.0, false
	for _, at := range p.q.grid() {
		f, ok := have[at]
		switch {
		case ok:
			out[at], last, known = f, f, true
		case repeat && known:
			out[at] = last
		case !repeat:
			if f, ok := with.at(at); ok {
				out[at] = f
			}
		}
	}
	return value{line: out}
}

// fold joins a list period by period to a line, or a line to a scalar.
func fold(name string, v value) value {
	if v.list == nil {
		if v.line == nil {
			return v
		}
		if len(v.line) == 0 {
			return value{line: line{}}
		}
		return value{scalar: combine(name, slices.Collect(maps.Values(v.line)))}
	}
	at := map[int64]bool{}
	var scalars []float64
	for _, item := range v.list {
		for t := range item.line {
			at[t] = true
		}
		if item.line == nil {
			scalars = append(scalars, item.scalar)
		}
	}
	if len(scalars) == len(v.list) && len(scalars) > 0 {
		return value{scalar: combine(name, scalars)}
	}
	out := line{}
	for t := range at {
		var all []float64
		for _, item := range v.list {
			if f, ok := item.at(t); ok {
				all = append(all, f)
			}
		}
		out[t] = combine(name, all)
	}
	return value{line: out}
}

func combine(name string, all []float64) float64 {
	sum := 0.0
	for _, f := range all {
		sum += f
	}
	switch name {
	case "MIN":
		return slices.Min(all)
	case "MAX":
		return slices.Max(all)
	case "AVG":
		return sum / float64(len(all))
	}
	return sum
}
