package simulate

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// formula is a metric math expression over values by id; NaN is missing data.
type formula func(values map[string]float64) float64

// compile reads the part of metric math that scaling uses: numbers, ids,
// + - * / ^, comparisons, AND and OR, and the functions IF, FILL, ABS, CEIL,
// FLOOR, MIN, MAX, SUM and AVG, whose arguments may stand in brackets. A
// division by zero has no value
// (docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html).
func compile(text string) (formula, error) {
	p := &parser{text: text}
	p.scan()
	f := p.either()
	if p.err == nil && p.token != "" {
		p.fail("unexpected %q", p.token)
	}
	if p.err != nil {
		return nil, fmt.Errorf("reading expression %q: %w", text, p.err)
	}
	return f, nil
}

// parser descends through the grammar, one token ahead.
type parser struct {
	text  string
	at    int
	token string
	err   error
}

func (p *parser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf(format, args...)
	}
	p.token = ""
}

// scan reads the next token; "" is the end.
func (p *parser) scan() {
	for p.at < len(p.text) && strings.ContainsRune(" \t\r\n", rune(p.text[p.at])) {
		p.at++
	}
	from := p.at
	word := func(c byte) bool {
		return c == '_' || c == '.' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
	}
	for p.at < len(p.text) && word(p.text[p.at]) {
		p.at++
	}
	if p.at == from && p.at < len(p.text) {
		p.at++
		if two := p.text[from:min(from+2, len(p.text))]; strings.Contains(" <= >= == != && || ", " "+two+" ") {
			p.at = from + 2
		}
	}
	p.token = p.text[from:p.at]
}

func (p *parser) take(tokens ...string) string {
	for _, t := range tokens {
		if strings.EqualFold(p.token, t) {
			p.scan()
			return t
		}
	}
	return ""
}

func (p *parser) expect(token string) {
	if p.take(token) == "" {
		p.fail("expected %q before %q", token, p.text[min(p.at, len(p.text)):])
	}
}

// operation applies f to both sides, unless one has no value.
func operation(a, b formula, f func(x, y float64) float64) formula {
	return func(v map[string]float64) float64 {
		x, y := a(v), b(v)
		if math.IsNaN(x) || math.IsNaN(y) {
			return math.NaN()
		}
		return f(x, y)
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// operators gives the meaning of each operator.
func operators(op string) func(x, y float64) float64 {
	return map[string]func(x, y float64) float64{
		"+": func(x, y float64) float64 { return x + y }, "-": func(x, y float64) float64 { return x - y },
		"*": func(x, y float64) float64 { return x * y }, "^": math.Pow,
		"/": func(x, y float64) float64 {
			if y == 0 {
				return math.NaN()
			}
			return x / y
		},
		"<": func(x, y float64) float64 { return truth(x < y) }, "<=": func(x, y float64) float64 { return truth(x <= y) },
		">": func(x, y float64) float64 { return truth(x > y) }, ">=": func(x, y float64) float64 { return truth(x >= y) },
		"==": func(x, y float64) float64 { return truth(x == y) }, "!=": func(x, y float64) float64 { return truth(x != y) },
		"AND": func(x, y float64) float64 { return truth(x != 0 && y != 0) }, "&&": func(x, y float64) float64 { return truth(x != 0 && y != 0) },
		"OR": func(x, y float64) float64 { return truth(x != 0 || y != 0) }, "||": func(x, y float64) float64 { return truth(x != 0 || y != 0) },
	}[op]
}

// chain reads operands joined by operators of one rank, from the left.
func (p *parser) chain(operand func() formula, ops ...string) formula {
	f := operand()
	for {
		op := p.take(ops...)
		if op == "" {
			return f
		}
		f = operation(f, operand(), operators(op))
	}
}

func (p *parser) either() formula     { return p.chain(p.both, "OR", "||") }
func (p *parser) both() formula       { return p.chain(p.comparison, "AND", "&&") }
func (p *parser) comparison() formula { return p.chain(p.sum, "<=", ">=", "==", "!=", "<", ">") }
func (p *parser) sum() formula        { return p.chain(p.product, "+", "-") }
func (p *parser) product() formula    { return p.chain(p.power, "*", "/") }
func (p *parser) power() formula      { return p.chain(p.unary, "^") }

func (p *parser) unary() formula {
	if p.take("-") != "" {
		f := p.unary()
		return func(v map[string]float64) float64 { return -f(v) }
	}
	return p.primary()
}

func (p *parser) primary() formula {
	none := func(map[string]float64) float64 { return math.NaN() }
	if p.take("(") != "" {
		f := p.either()
		p.expect(")")
		return f
	}
	token := p.token
	if token == "" || !strings.ContainsAny(token[:1], "0123456789.abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		p.fail("expected a number, an id or a function, got %q", token)
		return none
	}
	p.scan()
	if n, err := strconv.ParseFloat(token, 64); err == nil {
		return func(map[string]float64) float64 { return n }
	}
	if p.token == "(" {
		p.scan()
		return p.call(strings.ToUpper(token))
	}
	return func(v map[string]float64) float64 {
		if x, ok := v[token]; ok {
			return x
		}
		return math.NaN()
	}
}

// call reads the arguments of a function, in brackets or not.
func (p *parser) call(name string) formula {
	var args []formula
	bracket := p.take("[") != ""
	for p.err == nil {
		args = append(args, p.either())
		if p.take(",") == "" {
			break
		}
	}
	if bracket {
		p.expect("]")
	}
	p.expect(")")
	f, want := function(name)
	if p.err == nil && (f == nil || want > 0 && len(args) != want) {
		p.fail("function %s with %d arguments is not simulated", name, len(args))
	}
	return func(v map[string]float64) float64 {
		xs := make([]float64, len(args))
		for i, a := range args {
			xs[i] = a(v)
		}
		return f(xs)
	}
}

// function gives the meaning of a function and how many arguments it takes; 0
// is any number.
func function(name string) (func([]float64) float64, int) {
	one := func(f func(float64) float64) func([]float64) float64 {
		return func(x []float64) float64 { return f(x[0]) }
	}
	fold := func(f func(a, b float64) float64) func([]float64) float64 {
		return func(x []float64) float64 {
			out := x[0]
			for _, v := range x[1:] {
				out = f(out, v)
			}
			return out
		}
	}
	add := fold(func(a, b float64) float64 { return a + b })
	switch name {
	case "IF":
		return func(x []float64) float64 {
			switch {
			case math.IsNaN(x[0]):
				return math.NaN()
			case x[0] != 0:
				return x[1]
			}
			return x[2]
		}, 3
	case "FILL":
		return func(x []float64) float64 {
			if math.IsNaN(x[0]) {
				return x[1]
			}
			return x[0]
		}, 2
	case "ABS":
		return one(math.Abs), 1
	case "CEIL":
		return one(math.Ceil), 1
	case "FLOOR":
		return one(math.Floor), 1
	case "MIN":
		return fold(math.Min), 0
	case "MAX":
		return fold(math.Max), 0
	case "SUM":
		return add, 0
	case "AVG":
		return func(x []float64) float64 { return add(x) / float64(len(x)) }, 0
	}
	return nil, 0
}
