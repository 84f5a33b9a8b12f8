package watch

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// value is what an expression yields: a line over time, a scalar, or several
// of them.
type value struct {
	line   line // nil for a scalar
	scalar float64
	list   []value
}

// parser reads metric math ("Using metric math" in the CloudWatch user guide)
// and evaluates as it reads.
type parser struct {
	q     *queries
	words []string
	at    int
}

// evaluate reads one expression.
func (q *queries) evaluate(text string) (value, error) {
	words, err := split(text)
	if err != nil {
		return value{}, err
	}
	p := &parser{q: q, words: words}
	v, err := p.binary(0)
	if err == nil && p.at < len(p.words) {
		err = refuse("ValidationError", "the expression %q is not understood from %q on", text, p.words[p.at])
	}
	return v, err
}

// split cuts an expression into words.
func split(text string) ([]string, error) {
	var out []string
	for i := 0; i < len(text); {
		c := rune(text[i])
		j := i + 1
		switch {
		case unicode.IsSpace(c):
			i++
			continue
		case unicode.IsLetter(c) || c == '_':
			for j < len(text) && (unicode.IsLetter(rune(text[j])) || unicode.IsDigit(rune(text[j])) || text[j] == '_') {
				j++
			}
		case unicode.IsDigit(c) || c == '.':
			for j < len(text) && (unicode.IsDigit(rune(text[j])) || text[j] == '.') {
				j++
			}
		case c == '"' || c == '\'':
			n := strings.IndexByte(text[j:], text[i])
			if n < 0 {
				return nil, refuse("ValidationError", "a quote in %q is not closed", text)
			}
			j += n + 1
		case strings.ContainsRune("<>=!&|", c) && j < len(text) && strings.ContainsRune("=&|", rune(text[j])):
			j++
		case !strings.ContainsRune("+-*/^()[],<>", c):
			return nil, refuse("ValidationError", "%q in %q is not understood", string(c), text)
		}
		out = append(out, text[i:j])
		i = j
	}
	return out, nil
}

func (p *parser) peek() string {
	if p.at < len(p.words) {
		return p.words[p.at]
	}
	return ""
}

func (p *parser) take(word string) bool {
	if p.peek() != word {
		return false
	}
	p.at++
	return true
}

// levels are the binary operators, the loosest first.
func levels() [][]string {
	return [][]string{{"OR", "||"}, {"AND", "&&"}, {"==", "!=", "<", ">", "<=", ">="}, {"+", "-"}, {"*", "/"}, {"^"}}
}

func (p *parser) binary(level int) (value, error) {
	if level == len(levels()) {
		return p.unary()
	}
	left, err := p.binary(level + 1)
	for err == nil && slices.Contains(levels()[level], p.peek()) {
		op := p.peek()
		p.at++
		var right value
		if right, err = p.binary(level + 1); err == nil {
			left = zip(left, right, func(a, b float64) (float64, bool) { return operate(op, a, b) })
		}
	}
	return left, err
}

// operate does one operation; nothing is divided by zero.
func operate(op string, a, b float64) (float64, bool) {
	truth := func(t bool) (float64, bool) {
		if t {
			return 1, true
		}
		return 0, true
	}
	switch op {
	case "+":
		return a + b, true
	case "-":
		return a - b, true
	case "*":
		return a * b, true
	case "/":
		return a / b, b != 0
	case "^":
		return math.Pow(a, b), true
	case "==":
		return truth(a == b)
	case "!=":
		return truth(a != b)
	case "<":
		return truth(a < b)
	case ">":
		return truth(a > b)
	case "<=":
		return truth(a <= b)
	case ">=":
		return truth(a >= b)
	case "AND", "&&":
		return truth(a != 0 && b != 0)
	}
	return truth(a != 0 || b != 0)
}

// zip joins two values, period by period. One that is missing on either side
// is missing in the answer.
func zip(a, b value, f func(a, b float64) (float64, bool)) value {
	if a.line == nil && b.line == nil {
		v, ok := f(a.scalar, b.scalar)
		if !ok {
			return value{line: line{}}
		}
		return value{scalar: v}
	}
	out := line{}
	grid := a.line
	if grid == nil {
		grid = b.line
	}
	for at := range grid {
		x, left := a.at(at)
		y, right := b.at(at)
		if v, ok := f(x, y); left && right && ok {
			out[at] = v
		}
	}
	return value{line: out}
}

func (v value) at(t int64) (float64, bool) {
	if v.line == nil {
		return v.scalar, true
	}
	f, ok := v.line[t]
	return f, ok
}

func (p *parser) unary() (value, error) {
	word := p.peek()
	p.at++
	switch {
	case word == "":
		return value{}, refuse("ValidationError", "an expression ends too early")
	case word == "-":
		v, err := p.unary()
		return zip(value{scalar: 0}, v, func(a, b float64) (float64, bool) { return a - b, true }), err
	case word == "(":
		v, err := p.binary(0)
		if err == nil && !p.take(")") {
			err = refuse("ValidationError", "a parenthesis is not closed")
		}
		return v, err
	case word == "[":
		all, err := p.list("]")
		return value{list: all}, err
	case unicode.IsDigit(rune(word[0])) || word[0] == '.':
		f, err := strconv.ParseFloat(word, 64)
		if err != nil {
			return value{}, refuse("ValidationError", "%q is no number", word)
		}
		return value{scalar: f}, nil
	case p.take("("):
		return p.call(word)
	case word[0] == '"' || word[0] == '\'':
		return value{}, refuse("ValidationError", "a text such as %s is not supported here", word)
	}
	return p.q.line(word)
}

// list reads values up to the closing word.
func (p *parser) list(closing string) ([]value, error) {
	var out []value
	for !p.take(closing) {
		if len(out) > 0 && !p.take(",") {
			return nil, refuse("ValidationError", "a list has no %q", closing)
		}
		v, err := p.binary(0)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}
