package test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	maxFileLines  = 400
	maxFuncLines  = 80
	goodFuncLines = 40
	goodShare     = 0.90 // of all functions stay within goodFuncLines
	maxNewParams  = 4    // positional arguments of a constructor
)

// source is one parsed Go file of the module.
type source struct {
	pkg  string // import path without the module
	name string // path from the module's root
	test bool
	file *ast.File
	fset *token.FileSet
}

// sources parses every Go file, tests included.
func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	for _, p := range packages(t) {
		rel := strings.TrimPrefix(p.ImportPath, "bakehouse/")
		for _, name := range slices.Concat(p.GoFiles, p.TestGoFiles, p.XTestGoFiles) {
			fset := token.NewFileSet()
			f, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.ParseComments)
			if err != nil {
				t.Fatalf("parsing %s/%s: %v", rel, name, err)
			}
			all = append(all, source{rel, rel + "/" + name, strings.HasSuffix(name, "_test.go"), f, fset})
		}
	}
	return all
}

// lines returns how many lines node spans.
func (s source) lines(node ast.Node) int {
	return s.fset.Position(node.End()).Line - s.fset.Position(node.Pos()).Line + 1
}

func TestSizesStayReadable(t *testing.T) {
	t.Parallel()
	total, good := 0, 0
	for _, s := range sources(t) {
		if n := s.fset.File(s.file.Pos()).LineCount(); n > maxFileLines+1 {
			t.Errorf("%s has %d lines: no file is over %d", s.name, n, maxFileLines)
		}
		for _, d := range s.file.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			n := s.lines(fn)
			total++
			if n <= goodFuncLines {
				good++
			}
			if n > maxFuncLines {
				t.Errorf("%s: %s has %d lines: no function is over %d", s.name, fn.Name.Name, n, maxFuncLines)
			}
		}
	}
	if share := float64(good) / float64(total); share < goodShare {
		t.Errorf("%.1f%% of %d functions have at most %d lines: the house asks for %.0f%%", 100*share, total, goodFuncLines, 100*goodShare)
	}
}

func TestExportedNamesAreDocumented(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		if s.test || s.file.Name.Name == "main" {
			continue
		}
		for _, d := range s.file.Decls {
			for _, name := range undocumented(d) {
				t.Errorf("%s: exported %s has no comment", s.name, name)
			}
		}
	}
}

// undocumented names the exported things that d declares without a comment.
func undocumented(d ast.Decl) []string {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && d.Doc == nil && exportedReceiver(d) {
			return []string{d.Name.Name}
		}
	case *ast.GenDecl:
		var names []string
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				if spec.Name.IsExported() && spec.Doc == nil && d.Doc == nil {
					names = append(names, spec.Name.Name)
				}
			case *ast.ValueSpec:
				if spec.Names[0].IsExported() && spec.Doc == nil && d.Doc == nil && spec.Comment == nil {
					names = append(names, spec.Names[0].Name)
				}
			}
		}
		return names
	}
	return nil
}

// exportedReceiver reports whether d is a function or a method of an exported type.
func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	typ := d.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	id, ok := typ.(*ast.Ident)
	return ok && id.IsExported()
}

// bannedCalls are calls that only some rooms may make.
var bannedCalls = []struct {
	Call   string
	Only   []string
	Reason string
}{
	{"os.Exit", []string{"cmd", "internal/cliapp", "test"}, "only cmd ends the process"},
	{"os.Getenv", []string{"cmd", "internal/cliapp", "test"}, "the environment is read in cmd and handed down"},
	{"os.LookupEnv", []string{"cmd", "internal/cliapp", "test"}, "the environment is read in cmd and handed down"},
	{"fmt.Println", []string{"cmd", "test"}, "nobody below cmd prints"},
	{"fmt.Printf", []string{"cmd", "test"}, "nobody below cmd prints"},
	{"log.Printf", nil, "nobody below cmd prints; steps report"},
	{"ssh.InsecureIgnoreHostKey", nil, "host keys are verified"},
}

func TestBannedHabits(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				s.checkCall(t, n)
			case *ast.StructType:
				s.checkStruct(t, n)
			case *ast.FuncDecl:
				s.checkFunc(t, n)
			}
			return true
		})
		s.checkVars(t)
	}
}

// checkCall fails on panic and on the calls of bannedCalls.
func (s source) checkCall(t *testing.T, call *ast.CallExpr) {
	at := s.fset.Position(call.Pos())
	switch fun := call.Fun.(type) {
	case *ast.Ident:
		if fun.Name == "panic" {
			t.Errorf("%s:%d panics: return an error", s.name, at.Line)
		}
	case *ast.SelectorExpr:
		x, ok := fun.X.(*ast.Ident)
		if !ok {
			return
		}
		for _, b := range bannedCalls {
			if x.Name+"."+fun.Sel.Name == b.Call && !underAny(s.pkg, b.Only) {
				t.Errorf("%s:%d calls %s: %s", s.name, at.Line, b.Call, b.Reason)
			}
		}
	}
}

// checkStruct fails on a context kept in a struct.
func (s source) checkStruct(t *testing.T, st *ast.StructType) {
	for _, f := range st.Fields.List {
		if sel, ok := f.Type.(*ast.SelectorExpr); ok && sel.Sel.Name == "Context" {
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == "context" {
				t.Errorf("%s:%d keeps a context in a struct: pass it", s.name, s.fset.Position(f.Pos()).Line)
			}
		}
	}
}

// checkFunc fails on init and on constructors with many positional arguments.
func (s source) checkFunc(t *testing.T, fn *ast.FuncDecl) {
	if fn.Name.Name == "init" && fn.Recv == nil {
		t.Errorf("%s has an init(): start-up order is explicit here", s.name)
	}
	if fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "New") {
		if n := fn.Type.Params.NumFields(); n > maxNewParams {
			t.Errorf("%s: %s takes %d arguments: give it an options struct", s.name, fn.Name.Name, n)
		}
	}
}

// checkVars fails on package variables that could change: error values,
// compiled patterns and embedded files are the ones that cannot sensibly.
func (s source) checkVars(t *testing.T) {
	for _, d := range s.file.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.VAR {
			continue
		}
		for _, spec := range g.Specs {
			v := spec.(*ast.ValueSpec)
			if !constantLike(g, v) {
				t.Errorf("%s:%d package variable %s: make it a function, a field or a constant", s.name, s.fset.Position(v.Pos()).Line, v.Names[0].Name)
			}
		}
	}
}

// constantLike reports whether v is an error value, a compiled pattern, an
// embedded file, an interface check, or the version that the linker sets.
func constantLike(g *ast.GenDecl, v *ast.ValueSpec) bool {
	if v.Names[0].Name == "_" || v.Names[0].Name == "version" {
		return true
	}
	for _, doc := range []*ast.CommentGroup{g.Doc, v.Doc} {
		if doc != nil && strings.Contains(docText(doc), "//go:embed") {
			return true
		}
	}
	if len(v.Values) == 0 {
		return false
	}
	call, ok := v.Values[0].(*ast.CallExpr)
	if !ok {
		return false
	}
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	x, ok := sel.X.(*ast.Ident)
	return ok && slices.Contains([]string{"errors.New", "fmt.Errorf", "regexp.MustCompile", "netip.MustParseAddr", "netip.MustParsePrefix"}, x.Name+"."+sel.Sel.Name)
}

// docText joins the raw lines of a comment group; Text() would drop directives.
func docText(g *ast.CommentGroup) string {
	var b strings.Builder
	for _, c := range g.List {
		b.WriteString(c.Text + "\n")
	}
	return b.String()
}
