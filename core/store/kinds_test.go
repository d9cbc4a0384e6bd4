package store_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"testing"

	"portcullis/core/store"
)

// TestFindingKinds: the list of kinds has each constant of the type, so that what is held for every kind is held for a new one.
func TestFindingKinds(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "sweep.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var declared []store.FindingKind
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if kind, ok := spec.Type.(*ast.Ident); ok && kind.Name == "FindingKind" {
			text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			declared = append(declared, store.FindingKind(text))
		}
		return true
	})
	if len(declared) < 10 || !slices.Equal(declared, store.FindingKinds()) {
		t.Errorf("declared %v, listed %v", declared, store.FindingKinds())
	}
}
