package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"portcullis/functions"
	"portcullis/handlers"
)

// source is one package: its files, its imports and whether it has a doc comment.
type source struct {
	files   map[string]file // those that are not tests, by path
	imports map[string]bool // of files that are not tests
	tests   map[string]bool // of tests
	doc     bool
}

// file is one parsed file.
type file struct {
	*ast.File
	set *token.FileSet
}

// lines returns how many lines a part of the file has.
func (f file) lines(from, to token.Pos) int {
	return f.set.Position(to).Line - f.set.Position(from).Line + 1
}

// sources parses every package of the module.
func sources(t *testing.T) map[string]*source {
	t.Helper()
	out := map[string]*source{}
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); p != "." && (strings.HasPrefix(name, ".") || name == "node_modules" || name == "testdata" || name == "dist") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(p, ".go") {
			return nil
		}
		mode := parser.ParseComments
		if strings.HasSuffix(p, "_test.go") {
			mode |= parser.ImportsOnly
		}
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, p, nil, mode)
		if err != nil {
			return err
		}
		dir := path.Dir(filepath.ToSlash(p))
		s := out[dir]
		if s == nil {
			s = &source{files: map[string]file{}, imports: map[string]bool{}, tests: map[string]bool{}}
			out[dir] = s
		}
		into := s.imports
		if strings.HasSuffix(p, "_test.go") {
			into = s.tests
		} else {
			s.files[p] = file{f, set}
			s.doc = s.doc || f.Doc != nil
		}
		for _, imp := range f.Imports {
			name, err := strconv.Unquote(imp.Path.Value)
			if err != nil {
				return err
			}
			into[name] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestImports checks the direction of imports: main -> handlers, infra, local -> core and its packages ->
// core/plan -> core/reach -> core/jit -> the standard library.
func TestImports(t *testing.T) {
	type bad map[string]string // package prefix => why
	noEdge := bad{
		"context": "pure code waits for nothing", "net/http": "the wire belongs to handlers and infra", "log": "core does not log",
		"os": "core reads no files and no environment", "math/rand": "the same input gives the same plan", "crypto/rand": "the same input gives the same plan",
		"github.com/": "the core stands on the standard library alone", "golang.org/": "the core stands on the standard library alone",
		"portcullis/handlers": "imports point inward", "portcullis/infra": "imports point inward", "portcullis/local": "imports point inward", "portcullis/functions": "imports point inward",
	}
	with := func(all ...bad) bad {
		out := bad{}
		for _, m := range all {
			for k, v := range m {
				out[k] = v
			}
		}
		return out
	}
	inside := with(noEdge) // for a package that waits for its ports
	delete(inside, "context")
	verbs := bad{"portcullis/core/access": "verbs stand outside", "portcullis/core/protect": "verbs stand outside", "portcullis/core/guard": "verbs stand outside", "portcullis/core/defender": "verbs stand outside", "portcullis/core/sweep": "verbs stand outside"}
	door := bad{"portcullis/infra": "a door knows no technology", "portcullis/local": "stand-ins are not the product's", "github.com/Azure": "a door knows no SDK",
		"portcullis/functions": "declarations are read by the host and by tests"}
	rules := map[string]bad{
		"core/jit":    with(noEdge, bad{"portcullis/core": "the nouns know nobody"}),
		"core/decide": with(noEdge, verbs, bad{"portcullis/core/plan": "what is granted is decided before it is placed", "portcullis/core/roster": "it is given what it decides on", "portcullis/core/store": "it reads nothing", "portcullis/core/network": "it reads nothing", "portcullis/core/round": "it writes nothing"}),
		"core/reach": with(noEdge, bad{"portcullis/core/plan": "what a rule does is not asked of who plans it", "portcullis/core/access": "imports point inward", "portcullis/core/store": "it stores nothing",
			"portcullis/core/network": "it reads nothing", "portcullis/core/round": "it writes nothing"}),
		"core/plan":      with(noEdge, bad{"portcullis/core/round": "the arithmetic writes nothing", "portcullis/core/access": "imports point inward", "portcullis/core/store": "the arithmetic stores nothing", "portcullis/core/network": "the arithmetic reads nothing"}),
		"core/dial":      with(noEdge, verbs, bad{"portcullis/core/plan": "the choice of a port makes no rule", "portcullis/core/round": "it is given what stands, and writes nothing", "portcullis/core/store": "it reads nothing", "portcullis/core/network": "it reads nothing"}),
		"core/area":      with(noEdge, verbs, bad{"portcullis/core/store": "a scope knows no records", "portcullis/core/round": "it says what is meant, and writes nothing", "portcullis/core/network": "it reads nothing"}),
		"core/label":     with(noEdge, bad{"portcullis/core/reach": "what a rule does is not in its name", "portcullis/core/plan": "a name knows nobody", "portcullis/core/roster": "a name knows nobody", "portcullis/core/store": "a name knows nobody", "portcullis/core/network": "a name knows nobody"}),
		"core/roster":    with(noEdge, verbs, bad{"portcullis/core/plan": "what is stored plans nothing", "portcullis/core/store": "it is what the records come to", "portcullis/core/network": "it reads nothing", "portcullis/core/round": "it writes nothing"}),
		"core/narrow":    with(noEdge, verbs, bad{"portcullis/core/round": "it tells what ends, and writes nothing", "portcullis/core/network": "it reads nothing"}),
		"core/repair":    with(noEdge, verbs, bad{"portcullis/core/round": "it is given what was computed, and writes nothing", "portcullis/core/store": "it reads nothing", "portcullis/core/network": "it reads nothing"}),
		"core/side":      with(noEdge, verbs, bad{"portcullis/core/round": "it is given what was computed, and writes nothing", "portcullis/core/store": "it reads nothing", "portcullis/core/network": "it reads nothing"}),
		"core/limit":     with(noEdge, verbs, bad{"portcullis/core/round": "it is given what stands, and writes nothing", "portcullis/core/store": "it reads nothing", "portcullis/core/network": "it reads nothing"}),
		"core/hold":      with(inside, verbs, bad{"portcullis/core/round": "to ask writes no rule", "portcullis/core/network": "it reads what is stored", "portcullis/core/permit": "whoever asks is held"}),
		"core/lockdown":  with(inside, verbs, bad{"portcullis/core/inventory": "what is closed is read from what is stored"}),
		"core":           inside,
		"core/parallel":  with(noEdge, bad{"portcullis/core": "it knows nothing of what it works on"}),
		"core/store":     with(inside, verbs, bad{"portcullis/core/network": "records know no ports of Azure", "portcullis/core/round": "records write no rule"}),
		"core/network":   with(inside, verbs, bad{"portcullis/core/round": "what stands in Azure is read without rounds"}),
		"core/gather":    with(inside, verbs, bad{"portcullis/core/round": "to read for many writes no rule", "portcullis/core/network": "it reads what is stored", "portcullis/core/permit": "it reads whoever asks"}),
		"core/memo":      with(inside, verbs, bad{"portcullis/core/jit": "it knows nothing of what it remembers", "portcullis/core/store": "it knows nothing of what it remembers", "portcullis/core/network": "it knows nothing of what it remembers", "portcullis/core/round": "it knows nothing of what it remembers"}),
		"core/permit":    with(inside, verbs, bad{"portcullis/core/round": "to ask who may do something writes no rule"}),
		"core/refusal":   with(inside, verbs, bad{"portcullis/core/round": "to write that nothing was done writes no rule", "portcullis/core/permit": "it is told what was refused"}),
		"core/admission": with(inside, verbs, bad{"portcullis/core/store": "it is kept in memory alone", "portcullis/core/round": "to have callers wait writes no rule", "portcullis/core/refusal": "it is handed whom to tell"}),
		"core/seen":      with(inside, verbs, bad{"portcullis/core/round": "what is remembered is looked at without rounds", "portcullis/core/permit": "what stands is read whoever asks"}),
		"core/move":      with(noEdge, verbs, bad{"portcullis/core/round": "it is told what is followed, and writes nothing", "portcullis/core/store": "it is kept in memory alone", "portcullis/core/network": "it is kept in memory alone"}),
		"core/round":     with(inside, verbs, bad{"portcullis/core/permit": "what is due is closed whoever asks"}),
		"core/preview":   with(inside, verbs, bad{"portcullis/core/permit": "it is told what may be shown"}),
		"core/tell":      with(inside, verbs, bad{"portcullis/core/round": "to tell changes no rule", "portcullis/core/network": "what is told is stored", "portcullis/core/permit": "a message is no permission"}),
		"core/glass":     with(inside, verbs, bad{"portcullis/core/round": "to say who may break the glass writes no rule", "portcullis/core/network": "it reads what is stored", "portcullis/core/permit": "who may ask is decided before, but for an app role in the token"}),
		"core/stream":    with(inside, verbs, bad{"portcullis/core/round": "to send the log away changes no rule", "portcullis/core/network": "what is sent is stored", "portcullis/core/permit": "it sends what is logged, whoever asks"}),
		"core/sweep": with(inside, bad{"portcullis/core/access": "a sweep changes what stands, and asks for nothing", "portcullis/core/protect": "a sweep changes what stands, and asks for nothing", "portcullis/core/guard": "a sweep changes what stands, and asks for nothing", "portcullis/core/defender": "a sweep knows machines and no names of policies",
			"portcullis/core/inventory": "what people look at is no ground for a sweep"}),
		"core/doctor":             with(inside, verbs, bad{"portcullis/core/round": "who looks writes no rule", "portcullis/core/inventory": "it looks at the installation, not at what people look at"}),
		"core/inventory":          with(inside, verbs, bad{"portcullis/core/round": "who looks writes no rule"}),
		"core/guard":              with(inside, bad{"portcullis/core/sweep": "a sweep by hand asks for permission by itself", "portcullis/core/defender": "named policies stand outside", "portcullis/core/inventory": "what is looked at is behind permissions of its own"}),
		"core/protect":            with(inside, bad{"portcullis/core/access": "a policy is changed whoever asks for ports", "portcullis/core/guard": "who may call is decided before", "portcullis/core/defender": "the verbs know no wire contract", "portcullis/core/sweep": "a verb does not wait for a sweep", "portcullis/core/inventory": "a verb decides by what is stored"}),
		"core/access":             with(inside, bad{"portcullis/core/protect": "a request finds policies as they are stored", "portcullis/core/guard": "who may call is decided before", "portcullis/core/defender": "the verbs know no wire contract", "portcullis/core/sweep": "a verb does not wait for a sweep", "portcullis/core/inventory": "a verb decides by what is stored"}),
		"core/pending":            with(inside, bad{"portcullis/core/protect": "who approves changes no policy", "portcullis/core/defender": "the verbs know no wire contract", "portcullis/core/sweep": "a verb does not wait for a sweep", "portcullis/core/inventory": "a verb decides by what is stored"}),
		"core/claim":              with(inside, verbs, bad{"portcullis/core/round": "who edits a list is settled before a rule is written", "portcullis/core/network": "it reads what is stored", "portcullis/core/permit": "who may edit is decided before"}),
		"core/defender":           with(inside, bad{"portcullis/core/sweep": "a named policy is changed by verbs", "portcullis/core/inventory": "a named policy is read from what is stored"}),
		"handlers":                door,
		"handlers/portal":         with(door, bad{"portcullis/handlers": "the page is told what it needs, and writes no JSON"}),
		"handlers/portal/words":   with(door, bad{"portcullis/handlers": "words know no page", "net/http": "words know no request"}),
		"handlers/portal/chart":   with(door, bad{"portcullis/handlers/portal/form": "a picture is drawn of what is stored", "portcullis/handlers/wire": "the page writes no JSON", "net/http": "it draws, and asks nobody", "context": "it draws, and asks nobody"}),
		"handlers/portal/show":    with(door, bad{"portcullis/core/access": "it is given what was read, and calls no verb", "portcullis/core/permit": "it is told what may be offered", "portcullis/handlers/wire": "the page writes no JSON", "net/http": "it is given what was read, not the request", "context": "it is given what was read, and asks nobody"}),
		"handlers/portal/asset":   with(door, bad{"portcullis/core": "files hold no data, and anybody may have them", "portcullis/handlers": "it serves files and knows no page"}),
		"handlers/portal/second":  with(door, bad{"portcullis/handlers/wire": "the page writes no JSON"}),
		"handlers/portal/lock":    with(door, bad{"portcullis/core/access": "a form asks for a verb and calls none", "portcullis/handlers/wire": "the page writes no JSON", "net/http": "it is given what was read and typed, not the request", "context": "it is given what was read, and asks nobody"}),
		"handlers/portal/ending":  with(door, bad{"portcullis/handlers/wire": "the page writes no JSON", "portcullis/handlers/portal/form": "what is ended is typed into no form"}),
		"handlers/portal/found":   with(door, bad{"portcullis/core/access": "it is given what was found, and calls no verb", "portcullis/handlers/wire": "the page writes no JSON", "net/http": "it is given what was read, not the request", "context": "it is given what was read, and asks nobody"}),
		"handlers/portal/audit":   with(door, bad{"portcullis/core/access": "it reads, and calls no verb", "portcullis/handlers/wire": "the page writes no JSON", "net/http": "it is given what was asked for, not the request"}),
		"handlers/portal/smaller": with(door, bad{"portcullis/": "it packs what it is handed, whatever that is"}),
		"handlers/portal/form":    with(door, bad{"portcullis/core/access": "a form asks for a verb and calls none", "portcullis/handlers/wire": "the page reads no JSON", "net/http": "it reads what was typed, not the request", "context": "it reads what was typed, and asks nobody"}),
		"handlers/wire":           with(door, bad{"portcullis/handlers": "every face stands on it, and it knows none"}),
		"handlers/api":            {"portcullis/": "the client of the API knows its shapes and nothing of the app", "net/http": "shapes are sent by others"},
		"handlers/activity":       with(door, bad{"portcullis/handlers/compat": "two faces do not know each other", "portcullis/handlers/portal": "two faces do not know each other", "portcullis/core/access": "it shows, and calls no verb", "portcullis/core/guard": "it shows, and calls no verb"}),
		"handlers/arm":            with(door, bad{"portcullis/handlers/compat": "two faces do not know each other", "portcullis/handlers/portal": "two faces do not know each other", "portcullis/core/access": "it shows, and calls no verb"}),
		"handlers/compat":         with(door, bad{"portcullis/handlers/portal": "two faces do not know each other", "portcullis/core/access": "named policies have verbs of their own"}),
		"handlers/document":       with(door, bad{"portcullis/handlers/portal": "two faces do not know each other", "portcullis/core/access": "it reads and writes, and calls no verb", "portcullis/handlers/openapi": "it is told of, and tells nothing"}),
		"handlers/openapi":        with(door, bad{"portcullis/core": "it writes down types, whatever they mean", "portcullis/handlers/wire": "it is handed the shapes", "portcullis/handlers/compat": "it is handed the shapes", "portcullis/handlers/document": "it is handed the shapes", "portcullis/handlers/portal": "it is handed the shapes"}),
		"handlers/surface":        with(door, bad{"portcullis/handlers/wire": "a table of names and shapes reads and writes nothing", "portcullis/handlers/portal": "two faces do not know each other", "portcullis/core/access": "it calls no verb"}),
		"handlers/sheet":          with(door, bad{"portcullis/": "cells are text, whatever it means", "net/http": "it is handed where to write", "context": "it asks nobody"}),
		"handlers/query":          with(door, bad{"portcullis/handlers": "every face stands on it, and it knows none"}),
		"handlers/routing":        with(door, bad{"portcullis/handlers/compat": "it is given the routes", "portcullis/handlers/arm": "it is given the routes", "portcullis/handlers/portal": "it is given the routes", "portcullis/core/access": "it calls no verb"}),
		"functions":               {"portcullis/": "declarations know nobody"},
		"web":                     {"portcullis/": "files know nobody"},
	}
	// The command line client: of the app it knows the shapes of the API.
	outside := bad{"portcullis/core": "the client knows the API and nothing of the app", "portcullis/handlers": "the client knows the API by its shapes alone", "portcullis/infra": "the client asks the app, and nothing of Azure",
		"portcullis/local": "stand-ins are not the product's", "portcullis/functions": "the client knows the API and nothing of the app", "portcullis/web": "the client shows no page"}
	room := "each room of the client does one thing"
	rules["cmd/portcullis"] = outside
	rules["cmd/portcullis/exit"] = bad{"portcullis/": "how a program ends is asked by all of its rooms"}
	rules["cmd/portcullis/settings"] = with(outside, bad{"portcullis/cmd/portcullis/client": room, "portcullis/cmd/portcullis/find": room, "portcullis/cmd/portcullis/signin": room, "portcullis/cmd/portcullis/terminal": "it asks nobody", "portcullis/cmd/portcullis/verbs": room, "net/http": "it is asked before anything is called"})
	rules["cmd/portcullis/client"] = with(outside, bad{"portcullis/cmd/portcullis/find": room, "portcullis/cmd/portcullis/settings": "it is told", "portcullis/cmd/portcullis/signin": "it is given a credential", "portcullis/cmd/portcullis/terminal": "it is called, and shows nothing", "portcullis/cmd/portcullis/verbs": room, "os": "it is told"})
	rules["cmd/portcullis/find"] = with(outside, bad{"portcullis/cmd/portcullis/client": "it is handed what lists", "portcullis/cmd/portcullis/settings": room, "portcullis/cmd/portcullis/signin": room, "portcullis/cmd/portcullis/terminal": "it guesses nothing and asks nobody", "portcullis/cmd/portcullis/verbs": room, "net/http": "it is handed what lists", "os": "it is told"})
	rules["cmd/portcullis/signin"] = with(outside, bad{"portcullis/cmd/portcullis/client": room, "portcullis/cmd/portcullis/find": room, "portcullis/cmd/portcullis/terminal": "it is handed what tells people", "portcullis/cmd/portcullis/verbs": room})
	rules["cmd/portcullis/terminal"] = with(outside, bad{"portcullis/handlers/api": "it writes what it is given", "portcullis/cmd/portcullis/client": room, "portcullis/cmd/portcullis/find": room, "portcullis/cmd/portcullis/settings": room, "portcullis/cmd/portcullis/signin": room, "portcullis/cmd/portcullis/verbs": room, "net/http": "it calls nobody"})
	rules["cmd/portcullis/window"] = with(outside, bad{"portcullis/cmd/portcullis/find": "it is told which machine", "portcullis/cmd/portcullis/signin": "it is told who", "portcullis/cmd/portcullis/terminal": "it is handed what tells people", "portcullis/cmd/portcullis/reach": "a window is open whether or not somebody connects", "portcullis/cmd/portcullis/openssh": room, "portcullis/cmd/portcullis/verbs": room, "os/exec": "it starts nothing"})
	rules["cmd/portcullis/reach"] = with(outside, bad{"portcullis/cmd/portcullis/client": "it is told what the app answers", "portcullis/cmd/portcullis/window": "it is told what is open", "portcullis/cmd/portcullis/openssh": room, "portcullis/cmd/portcullis/verbs": room, "net/http": "it carries bytes, whatever they say", "os/exec": "it starts nothing"})
	rules["cmd/portcullis/openssh"] = with(outside, bad{"portcullis/cmd/portcullis/client": "ssh knows no app", "portcullis/cmd/portcullis/window": "ssh knows no window", "portcullis/cmd/portcullis/verbs": room, "net/http": "ssh is asked, and nobody else"})
	rules["cmd/portcullis/connect"] = with(outside, bad{"portcullis/cmd/portcullis/signin": "it is handed who is signed in", "portcullis/cmd/portcullis/verbs": room, "net/http": "calls are made by package client"})
	rules["cmd/portcullis/outcome"] = with(outside, bad{"portcullis/cmd/portcullis/find": "it is told which request", "portcullis/cmd/portcullis/settings": "it is told how long", "portcullis/cmd/portcullis/signin": room, "portcullis/cmd/portcullis/window": "what a request became is shown, whoever uses it", "portcullis/cmd/portcullis/connect": room, "portcullis/cmd/portcullis/verbs": room, "net/http": "calls are made by package client"})
	rules["cmd/portcullis/decision"] = with(outside, bad{"portcullis/cmd/portcullis/settings": "what somebody decides comes from no file", "portcullis/cmd/portcullis/signin": "it is handed who is signed in", "portcullis/cmd/portcullis/window": room, "portcullis/cmd/portcullis/connect": room, "portcullis/cmd/portcullis/verbs": room, "net/http": "calls are made by package client"})
	rules["cmd/portcullis/verbs"] = with(outside, bad{"net/http": "calls are made by package client"})
	adapter := bad{"portcullis/infra": "adapters do not know each other", "portcullis/handlers": "imports point inward", "portcullis/local": "stand-ins are not the product's", "portcullis/functions": "imports point inward"}
	all := sources(t)
	// Which adapters may import others, and why.
	allowed := map[string]string{
		"portcullis/infra/arm":      "one Resource Manager is behind several adapters: raw documents, conditional writes and the meaning of its errors are the same for all",
		"portcullis/infra/loopback": "which hosts are this machine has one answer",
		"portcullis/infra/reply":    "what a Retry-After and a missing answer say is the same of every receiver",
		"portcullis/infra/hook":     "every channel posts in one way, which keeps addresses secret and follows no redirect",
	}
	for dir := range all {
		switch {
		case dir == "cmd/portcullis/apptest": // it is the whole app, for tests of its client
		case strings.HasPrefix(dir, "cmd/") && rules[dir] == nil:
			rules[dir] = outside
		case strings.HasSuffix(dir, "test"):
			rules[dir] = bad{"portcullis/handlers": "imports point inward", "portcullis/functions": "imports point inward"}
		case dir == "infra/arm":
			rules[dir] = bad{"portcullis/infra": "what adapters share knows none of them", "portcullis/handlers": "imports point inward", "portcullis/local": "stand-ins are not the product's", "portcullis/functions": "imports point inward"}
		case dir == "infra/hook":
			rules[dir] = with(adapter, bad{"portcullis/infra/hook": "what channels share knows none of them", "portcullis/core/tell": "it posts bytes, whatever they say"})
		case dir == "infra/nsg/document" || dir == "infra/nsg/topology":
			rules[dir] = with(adapter, bad{"context": "it reads what package nsg has asked for", "net/http": "it reads what package nsg has asked for"})
		case dir == "infra/table/record":
			rules[dir] = with(adapter, bad{"context": "it reads and writes documents, not tables", "github.com/Azure": "it reads and writes documents, not tables"})
		case strings.HasPrefix(dir, "infra/deploy/"): // programs for operators, which assemble adapters as main does
			rules[dir] = bad{"portcullis/handlers": "imports point inward", "portcullis/local": "stand-ins are not the product's", "portcullis/functions": "imports point inward"}
		case strings.HasPrefix(dir, "infra/"):
			rules[dir] = adapter
		case strings.HasPrefix(dir, "local"):
			rules[dir] = bad{"portcullis/core": "a stand-in that shared code with the product would share its errors", "portcullis/infra": "a stand-in that shared code with the product would share its errors", "portcullis/handlers": "the stand-ins run the real binary"}
		}
	}
	for dir, forbidden := range rules {
		s, ok := all[dir]
		if !ok {
			t.Errorf("there is no package %s; the rule for it holds nothing", dir)
			continue
		}
		for imp := range s.imports {
			for prefix, why := range forbidden {
				room := strings.HasPrefix(imp, "portcullis/"+dir+"/") || strings.HasPrefix(dir, "infra/table/") && imp == "portcullis/infra/table/entity"
				room = room || dir == "handlers/wire" && imp == "portcullis/handlers/api" // which it reads and fills
				room = room || prefix == "portcullis/handlers" && imp == "portcullis/handlers/api" && strings.HasPrefix(dir, "cmd/")
				if prefix == "portcullis/handlers" && room || prefix == "portcullis/infra" && (allowed[imp] != "" || room) && strings.HasPrefix(dir, "infra/") {
					continue // an adapter or a handler may import its own subpackages, and those of the table may import entity
				}
				if imp == prefix || strings.HasPrefix(imp, strings.TrimSuffix(prefix, "/")+"/") {
					t.Errorf("%s imports %s: %s", dir, imp, why)
				}
			}
		}
	}
}

// TestTestsAlone checks that packages for tests, which may import stand-ins, are imported only by tests and by
// each other.
func TestTestsAlone(t *testing.T) {
	for dir, s := range sources(t) {
		for imp := range s.imports {
			if strings.HasPrefix(imp, "portcullis/") && strings.HasSuffix(imp, "test") && !strings.HasSuffix(dir, "test") {
				t.Errorf("%s imports %s, which is for tests", dir, imp)
			}
		}
	}
}

// TestPackageDocs checks that every package has a doc comment.
func TestPackageDocs(t *testing.T) {
	for dir, s := range sources(t) {
		if len(s.files) > 0 && !s.doc {
			t.Errorf("package %s has no doc comment", dir)
		}
	}
}

// product reports whether a package runs in Azure or is a program for operators: neither a stand-in nor for tests alone.
func product(dir string) bool {
	top, _, _ := strings.Cut(dir, "/")
	return slices.Contains([]string{".", "cmd", "core", "functions", "handlers", "infra", "web"}, top) && !strings.HasSuffix(dir, "test")
}

// TestSizes checks that what is read at a time stays small: a package and a function of the product, and every file but tests.
func TestSizes(t *testing.T) {
	const packageLines, fileLines, functionLines = 2000, 400, 50
	lines := map[string]int{}
	for dir, s := range sources(t) {
		for name, f := range s.files {
			n := f.set.File(f.FileStart).LineCount()
			lines[dir] += n
			if n > fileLines {
				t.Errorf("%s has %d lines, over %d: ask what idea it hides", name, n, fileLines)
			}
			for _, d := range f.Decls {
				fn, ok := d.(*ast.FuncDecl)
				if !ok || !product(dir) {
					continue
				}
				if n := f.lines(fn.Pos(), fn.End()); n > functionLines {
					t.Errorf("%s: %s has %d lines, over %d: ask what idea it hides", name, fn.Name.Name, n, functionLines)
				}
			}
		}
		if product(dir) && lines[dir] > packageLines {
			t.Errorf("package %s has %d lines, over %d: an idea in it wants a room of its own (decision 028)", dir, lines[dir], packageLines)
		}
	}
	for _, dir := range []string{".", "core/jit", "handlers/portal", "infra/nsg", "web"} { // or nothing was looked at
		if !product(dir) || lines[dir] == 0 {
			t.Errorf("package %s is of the product and has %d lines", dir, lines[dir])
		}
	}
}

// TestRooms holds that there is no room without a purpose.
func TestRooms(t *testing.T) {
	for dir := range sources(t) {
		for _, name := range strings.Split(dir, "/") {
			if slices.Contains([]string{"utils", "util", "common", "models", "internal", "pkg", "helpers", "misc"}, name) {
				t.Errorf("%s: a name that says nothing of what is in it", dir)
			}
		}
	}
}

// TestFunctionsAndRoutes compares declarations and routes: every declared function has its route, every route its
// function, and a catch-all exists only below a literal segment that is no trigger's name, since otherwise an
// outside request could reach a trigger.
func TestFunctionsAndRoutes(t *testing.T) {
	declared, err := functions.All()
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	triggers := map[string]bool{}
	for _, f := range declared {
		if f.Kind != functions.HTTP {
			triggers[f.Name] = true
			want = append(want, "POST /"+f.Name)
			continue
		}
		for _, method := range f.Methods {
			route := "/api/" + f.Route
			if bare, ok := strings.CutSuffix(route, "/{id?}"); ok { // the host's optional parameter corresponds to two patterns here
				want = append(want, strings.ToUpper(method)+" "+bare)
				route = bare + "/{id}"
			}
			route = strings.Replace(route, "/{*", "/{", 1)
			if strings.Contains(f.Route, "*") {
				route = strings.TrimSuffix(route, "}") + "...}"
			}
			want = append(want, strings.ToUpper(method)+" "+route)
		}
	}
	var got []string
	for _, p := range handlers.Patterns() {
		if p == "GET /{$}" { // the host's probe, which is not a function
			continue
		}
		got = append(got, p)
		_, route, _ := strings.Cut(p, " ")
		segments := strings.Split(route, "/")
		below := len(segments) == 4 && segments[1] == "api" && !strings.ContainsAny(segments[2], "{}") && !triggers[segments[2]]
		if strings.HasSuffix(route, "/") || strings.Contains(route, "...") && !below {
			t.Errorf("the pattern %q catches more than what is below its own first segment", p)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("functions/ (-) and handlers (+) differ:\n%s", diff)
	}
}
