package move_test

import (
	"testing"

	"portcullis/core/jit"
	"portcullis/core/move"
)

// TestFollow: a grant is followed to its targets, whatever their case, until everybody who has said so has ended that.
func TestFollow(t *testing.T) {
	var m move.Moves
	at := func(name string) jit.ID {
		return jit.ID{Subscription: "s", ResourceGroup: "g", Type: jit.TypeNSG, Name: name}
	}
	a, b := m.Grants(at("A")), m.Grants(at("b"))
	if a("g") {
		t.Error("followed, and nobody says so")
	}
	first := m.Follow("g", []jit.ID{at("a"), at("b")})
	second := m.Follow("g", []jit.ID{at("a")})
	if !a("g") || !b("g") || a("h") {
		t.Errorf("a %t, b %t, another grant %t", a("g"), b("g"), a("h"))
	}
	if first(); !a("g") || b("g") {
		t.Errorf("one has ended it: a %t, b %t", a("g"), b("g"))
	}
	if second(); a("g") {
		t.Error("followed after everybody has ended it")
	}
}
