package archtest

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const root = "../.."

// most is the length that no file may exceed; beyond about 400 lines a reader
// loses the thread.
const most = 600

// A source is one Go file, parsed for its imports and top-level declarations.
type source struct {
	path string // from the root, such as dnssrv/zone.go
	pkg  string // its folder
	test bool
	file *ast.File
	size int
}

func sources(t *testing.T) []source {
	t.Helper()
	var out []source
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if n := d.Name(); n == "node_modules" || n == "testdata" || n == "data" || strings.HasPrefix(n, ".") && n != ".." {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, text, parser.ParseComments)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		out = append(out, source{
			rel, filepath.ToSlash(filepath.Dir(rel)), strings.HasSuffix(rel, "_test.go"), file, bytes.Count(text, []byte("\n")),
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 50 {
		t.Fatalf("found only %d files: looking in the wrong place", len(out))
	}
	return out
}

// floor is the height of a package in the house: it may import what is lower,
// never its own floor or higher. Services thus never meet each other.
func floor(pkg string) int {
	switch top := top(pkg); {
	case top == "internal":
		return 0
	case pkg == "core/config", pkg == "core/event", pkg == "core/names":
		return 1
	case top == "core":
		return 2
	case slices.Contains([]string{"netstack", "dnssrv", "dhcpsrv", "ntpsrv", "mailsrv", "davsrv", "proxy", "ca", "federation"}, top):
		return 3
	case pkg == "api/wire", pkg == "api/client":
		return 4
	case top == "api", top == "ui":
		return 5
	case top == "cell":
		return 6
	}
	return 7 // cmd, e2e, bench
}

func top(pkg string) string {
	t, _, _ := strings.Cut(pkg, "/")
	return t
}

// sameFloor lists the imports within a floor that are meant.
var sameFloor = map[string][]string{
	"core/state":   {"core/state/journal"},
	"core/users":   {"core/state", "core/service"},
	"core/vault":   {"core/state"},
	"api/client":   {"api/wire"},
	"core/service": {},
}

func TestImportsGoDownTheFloors(t *testing.T) {
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		for _, i := range s.file.Imports {
			path, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			dep, ours := strings.CutPrefix(path, "pic/")
			if !ours {
				continue
			}
			if s.pkg == "ui" {
				t.Errorf("%s imports %s: the UI imports the standard library only", s.path, dep)
				continue
			}
			below := floor(dep) < floor(s.pkg)
			inside := strings.HasPrefix(dep, s.pkg+"/") || slices.Contains(sameFloor[s.pkg], dep)
			rooms := floor(s.pkg) == 3 && strings.HasPrefix(dep, top(s.pkg)+"/") // rooms of one service
			tools := floor(s.pkg) == 0 && floor(dep) == 0
			if !below && !inside && !rooms && !tools && s.pkg != dep {
				t.Errorf("%s imports %s, which is on its own floor or above", s.path, dep)
			}
			if top(s.pkg) == "cmd" && floor(dep) >= 3 &&
				!slices.Contains([]string{"cell", "api/client", "api/wire"}, dep) {
				t.Errorf("%s imports %s: the commands know the cell and the API's client only", s.path, dep)
			}
		}
	}
}

// What a package must not import, and why.
var banned = map[string]string{
	"log":                   "log through the *slog.Logger that New got",
	"io/ioutil":             "it is obsolete",
	"html/template":         "it makes the linker keep every method of every type, which are megabytes",
	"text/template":         "it makes the linker keep every method of every type, which are megabytes",
	"math/rand":             "use math/rand/v2, or crypto/rand for what must not be guessed",
	"github.com/pkg/errors": "use errors and fmt",

	"github.com/emersion/go-imap/v2/imapserver": "its commands are a closed list, and it can take a literal for a command; mailsrv/imapd is the server",
}

func TestBannedImports(t *testing.T) {
	for _, s := range sources(t) {
		for _, i := range s.file.Imports {
			if path, _ := strconv.Unquote(i.Path.Value); banned[path] != "" && !s.test && !strings.HasPrefix(s.pkg, "internal/nettest") {
				t.Errorf("%s imports %s: %s", s.path, path, banned[path])
			}
		}
	}
}

// What a package must not call, and why.
var bannedCalls = map[string]string{
	"huma.Register":         "it is compiled once for every route, which is 2 MB; use route",
	"slices.SortFunc":       "it is compiled once for every type, 15 kB each time; use internal/order",
	"slices.SortStableFunc": "it is compiled once for every type, 9 kB each time; use internal/order",
}

// Where sorting takes time: names of zones, records, elements of sets.
var sortsALot = []string{
	"dnssrv", "dnssrv/iterate", "dnssrv/policy", "dnssrv/querylog", "dnssrv/validate", "dnssrv/validate/signedtest", "davsrv", "netstack/fw",
}

func TestBannedCalls(t *testing.T) {
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok {
				of, _ := sel.X.(*ast.Ident)
				if of == nil || of.Name == "slices" && slices.Contains(sortsALot, s.pkg) {
					return true
				}
				if name := of.Name + "." + sel.Sel.Name; bannedCalls[name] != "" {
					t.Errorf("%s calls %s: %s", s.path, name, bannedCalls[name])
				}
			}
			return true
		})
	}
}

func TestHumaStaysInTheAPI(t *testing.T) {
	for _, s := range sources(t) {
		for _, i := range s.file.Imports {
			if strings.Contains(i.Path.Value, "danielgtaylor/huma") && s.pkg != "api" {
				t.Errorf("%s imports huma, which only api may", s.path)
			}
			if strings.Contains(i.Path.Value, "bbolt") && !strings.HasPrefix(s.pkg, "core/state") {
				t.Errorf("%s imports bbolt, which only core/state may", s.path)
			}
		}
	}
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	doc := map[string]int{}
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		doc[s.pkg] += 0
		if s.file.Doc != nil {
			doc[s.pkg] += len(s.file.Doc.Text())
		}
	}
	for pkg, n := range doc {
		if n < 40 {
			t.Errorf("package %s has no doc that says what it promises", pkg)
		}
	}
}

func TestFilesStayShort(t *testing.T) {
	for _, s := range sources(t) {
		if s.size > most {
			t.Errorf("%s has %d lines: a room too big to hold in the head", s.path, s.size)
		}
	}
}

func TestNothingRunsBeforeMain(t *testing.T) {
	for _, s := range sources(t) {
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s has an init function", s.path)
			}
		}
	}
}
