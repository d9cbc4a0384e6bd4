package jit_test

import (
	"errors"
	"strings"
	"testing"

	"portcullis/core/jit"
)

const (
	sub    = "00000000-0000-0000-0000-00000000d3e0"
	webVM  = "/subscriptions/" + sub + "/resourceGroups/demo/providers/Microsoft.Compute/virtualMachines/web"
	inDemo = "/subscriptions/" + sub + "/resourceGroups/demo/providers/"
)

// wantCode fails the test unless err is an *Error of the code; "" is no error.
func wantCode(t *testing.T, err error, want jit.Code) {
	t.Helper()
	var e *jit.Error
	switch {
	case want == "" && err == nil:
	case want == "" || err == nil:
		t.Errorf("got error %v, want code %q", err, want)
	case !errors.As(err, &e):
		t.Errorf("got %T %v, want *jit.Error", err, err)
	case e.Code != want:
		t.Errorf("got %v, want code %s", err, want)
	case e.Message == "" || strings.ContainsAny(e.Error(), "\n\r\u202e\ufeff\x00"):
		t.Errorf("message is empty or holds a control character: %q", e.Error())
	}
}

func TestParseVM(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n) }
	vm := func(name string) string { return inDemo + "Microsoft.Compute/virtualMachines/" + name }
	group := func(name string) string {
		return "/subscriptions/" + sub + "/resourceGroups/" + name + "/providers/Microsoft.Compute/virtualMachines/web"
	}
	tests := []struct {
		name, id string
		want     jit.Code
	}{
		{"empty", "", jit.CodeInvalidID},
		{"a slash", "/", jit.CodeInvalidID},
		{"only a name", "web", jit.CodeInvalidID},
		{"no leading slash", webVM[1:], jit.CodeInvalidID},
		{"trailing slash", webVM + "/", jit.CodeInvalidID},
		{"leading double slash", "/" + webVM, jit.CodeInvalidID},
		{"host in front", "https://management.azure.com" + webVM, jit.CodeInvalidID},
		{"query", webVM + "?api-version=1", jit.CodeInvalidID},
		{"fragment", webVM + "#x", jit.CodeInvalidID},
		{"child resource", webVM + "/extensions/x", jit.CodeInvalidID},
		{"a byte order mark", "\ufeff" + webVM, jit.CodeInvalidID},
		{"a byte order mark in the name", vm("\ufeffweb"), jit.CodeInvalidID},
		{"right-to-left override", vm("\u202ebew"), jit.CodeInvalidID},
		{"zero width joiner", vm("we\u200db"), jit.CodeInvalidID},
		{"leading blank", " " + webVM, jit.CodeInvalidID},
		{"trailing newline", webVM + "\n", jit.CodeInvalidID},
		{"a tab in the name", vm("w\teb"), jit.CodeInvalidID},
		{"NUL in the name", vm("we\x00b"), jit.CodeInvalidID},
		{"invalid UTF-8", vm("we\xffb"), jit.CodeInvalidID},
		{"the replacement character", vm("we\ufffdb"), jit.CodeInvalidID},
		{"percent sign", vm("we%62"), jit.CodeInvalidID},
		{"percent-encoded slash", vm("..%2fweb"), jit.CodeInvalidID},
		{"dot", vm("."), jit.CodeInvalidID},
		{"dot dot", vm(".."), jit.CodeInvalidID},
		{"dot dot as group", group(".."), jit.CodeInvalidID},
		{"backslash", vm("..\\web"), jit.CodeInvalidID},
		{"empty name", vm(""), jit.CodeInvalidID},
		{"empty group", group(""), jit.CodeInvalidID},
		{"a quote, for table filters", group("de'mo"), jit.CodeInvalidID},
		{"semicolon", vm("web;x"), jit.CodeInvalidID},
		{"a mark without its letter", vm("web\u0301"), jit.CodeInvalidID},
		{"group of 91", group(long(91)), jit.CodeInvalidID},
		{"name of 81", vm(long(81)), jit.CodeInvalidID},
		{"500 bytes and one", "/subscriptions/" + long(490), jit.CodeInvalidID},
		{"a megabyte", "/" + long(1<<20), jit.CodeInvalidID},
		{"subscription is no GUID", strings.Replace(webVM, sub, "production", 1), jit.CodeInvalidID},
		{"GUID in braces", strings.Replace(webVM, sub, "{"+sub+"}", 1), jit.CodeInvalidID},
		{"GUID without dashes", strings.Replace(webVM, sub, strings.ReplaceAll(sub, "-", ""), 1), jit.CodeInvalidID},
		{"GUID with a g", strings.Replace(webVM, sub, "g"+sub[1:], 1), jit.CodeInvalidID},
		{"management group", "/providers/Microsoft.Management/managementGroups/x/a/b/c", jit.CodeInvalidID},
		{"segments in the wrong order", "/resourceGroups/demo/subscriptions/" + sub + "/providers/Microsoft.Compute/virtualMachines/web", jit.CodeInvalidID},
		{"long s in subscriptions", strings.Replace(webVM, "subs", "sub\u017f", 1), jit.CodeInvalidID},
		{"long s in the type", strings.Replace(webVM, "Microsoft", "Micro\u017foft", 1), jit.CodeInvalidID},
		{"a scale set", inDemo + "Microsoft.Compute/virtualMachineScaleSets/web", jit.CodeScaleSetVM},
		{"an instance of a scale set", inDemo + "microsoft.compute/VirtualMachineScaleSets/web/virtualMachines/3", jit.CodeScaleSetVM},
		{"a security group", inDemo + "Microsoft.Network/networkSecurityGroups/web", jit.CodeInvalidID},
		{"classic", inDemo + "Microsoft.ClassicCompute/virtualMachines/old", jit.CodeClassicVM},
		{"classic, lower case", inDemo + "microsoft.classiccompute/virtualmachines/old", jit.CodeClassicVM},
		{"plain", webVM, ""},
		{"upper case", strings.ToUpper(webVM), ""},
		{"lower case", strings.ToLower(webVM), ""},
		{"group of 90", group(long(90)), ""},
		{"name of 80", vm(long(80)), ""},
		{"all that names may hold", group("a.b_c-(d)"), ""},
		{"letters of other scripts", group("Gruppe-Köln-日本"), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			id, err := jit.ParseVM(tt.id)
			wantCode(t, err, tt.want)
			if err == nil && id.Type != jit.TypeVM {
				t.Errorf("type %q is not canonical", id.Type)
			}
			if err != nil && !id.IsZero() {
				t.Errorf("refused, but gives %+v", id)
			}
		})
	}
}

// ARM compares without regard to case, but does not take a Kelvin sign for a k:
// who may do something in one of two such groups may not do it in the other.
func TestKeyTellsLookalikesApart(t *testing.T) {
	in := func(group string) jit.ID {
		return jit.ID{Subscription: sub, ResourceGroup: group, Type: jit.TypeVM, Name: "web"}
	}
	named := func(name string) jit.ID {
		return jit.ID{Subscription: sub, ResourceGroup: "demo", Type: jit.TypeVM, Name: name}
	}
	for _, tt := range []struct {
		name, a, b string
		same       bool
	}{
		{"Kelvin sign", "kiosk", "\u212aiosk", false},
		{"dotted capital I", "kiosk", "k\u0130osk", false},
		{"dotless i", "kiosk", "k\u0131osk", false},
		{"long s", "kiosk", "kio\u017fk", false},
		{"sharp s", "strasse", "straße", false},
		{"Angstrom sign", "ångström", "\u212bngström", false},
		{"case", "Kiosk", "kIOSK", true},
		{"case of other scripts", "KÖLN-ДОМ", "köln-дом", true},
		{"the same", "kiosk", "kiosk", true},
		{"another end", "kiosk1", "kiosk2", false},
		{"the end of the other", "kiosk", "my-kiosk", false},
		{"nothing", "kiosk", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, id := range []func(string) jit.ID{in, named} {
				a, b := id(tt.a), id(tt.b)
				if a.Equal(b) != tt.same || b.Equal(a) != tt.same || (a.Key() == b.Key()) != tt.same {
					t.Errorf("%s equals %s: %t, back %t, by key %t; want %t", a, b, a.Equal(b), b.Equal(a), a.Key() == b.Key(), tt.same)
				}
			}
		})
	}
}

func FuzzParseID(f *testing.F) {
	for _, s := range []string{webVM, strings.ToUpper(webVM), "", "/", webVM + "/", inDemo + "Microsoft.Network/networkSecurityGroups/..", inDemo + "a/b/\u0130"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := jit.ParseID(s)
		if err != nil {
			if !id.IsZero() {
				t.Fatalf("refused, but gives %+v", id)
			}
			return
		}
		if id.String() == s {
			again, err := jit.ParseID(id.String())
			if err != nil || again != id {
				t.Fatalf("%q: %+v, again %+v, %v", s, id, again, err)
			}
		} else if !strings.EqualFold(id.String(), s) {
			t.Fatalf("%q prints as %q", s, id.String())
		}
		if _, err := jit.ParseID(id.String()); err != nil {
			t.Fatalf("%q does not parse: %v", id.String(), err)
		}
		key, err := jit.ParseID(id.Key())
		if err != nil || key.Key() != id.Key() || !key.Equal(id) {
			t.Fatalf("%q: the key %q is not a fixed point: %v", s, id.Key(), err)
		}
	})
}
