package jit

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// The ARM types that the product handles.
const (
	TypeVM        = "Microsoft.Compute/virtualMachines"
	TypeClassicVM = "Microsoft.ClassicCompute/virtualMachines"
	TypeNSG       = "Microsoft.Network/networkSecurityGroups"
	TypeFirewall  = "Microsoft.Network/azureFirewalls"
)

// ID is the ARM id of a top-level resource in a resource group. It keeps the casing it was written with. Compare
// ids by [ID.Key], since ARM ignores case (real callers send microsoft.compute and RESOURCEGROUPS).
type ID struct {
	Subscription  string // a GUID, 36 characters
	ResourceGroup string // 1 to 90 characters
	Type          string // provider namespace and type, such as [TypeVM]
	Name          string // 1 to 80 characters
}

// ParseID parses "/subscriptions/{sub}/resourceGroups/{rg}/providers/{namespace}/{type}/{name}". It refuses
// everything else with [CodeInvalidID]: child resources, empty segments, percent signs, control characters, dots
// that would walk up a path. It does NOT ensure that the resource exists.
func ParseID(s string) (ID, error) {
	bad := func(why string) (ID, error) {
		return ID{}, refuse(CodeInvalidID, "", "%s; expected /subscriptions/{subscription}/resourceGroups/{group}/providers/{namespace}/{type}/{name}", why)
	}
	if len(s) > 500 {
		return bad("the id is longer than 500 bytes")
	}
	part := strings.Split(s, "/")
	if len(part) != 9 || part[0] != "" {
		return bad("the id does not have eight segments")
	}
	if !same(part[1], "subscriptions") || !same(part[3], "resourceGroups") || !same(part[5], "providers") {
		return bad("the id is not below a resource group")
	}
	id := ID{Subscription: part[2], ResourceGroup: part[4], Type: part[6] + "/" + part[7], Name: part[8]}
	if !ValidGUID(id.Subscription) {
		return bad("the subscription is not a GUID")
	}
	if !nameOf(id.ResourceGroup, 90) || !nameOf(id.Name, 80) || !nameOf(part[6], 80) || !nameOf(part[7], 80) {
		return bad("a name in the id is empty, too long or holds a character that ARM does not allow")
	}
	return id, nil
}

// Location returns the name of an Azure region as Resource Manager folds it: "West Europe" and "WestEurope" are
// "westeurope".
func Location(name string) string { return strings.ToLower(strings.ReplaceAll(name, " ", "")) }

// scaleSetVM is the beginning of an instance's id below its subscription and group, in lower case.
const scaleSetVM = "/providers/microsoft.compute/virtualmachinescalesets/"

// ParseVM parses the id of a virtual machine. A classic machine is refused with
// [CodeClassicVM], an instance of a scale set with [CodeScaleSetVM], any other type with [CodeInvalidID]. The type's casing is made
// canonical; the names keep theirs.
func ParseVM(s string) (ID, error) {
	if len(s) <= 1000 && strings.Contains(strings.ToLower(s), scaleSetVM) {
		return ID{}, refuse(CodeScaleSetVM, "", "this is a scale set, or an instance of one in uniform orchestration, which cannot be protected; instances in flexible orchestration are virtual machines: name them by their ids of %s", TypeVM)
	}
	id, err := ParseID(s)
	if err != nil {
		return ID{}, err
	}
	switch {
	case same(id.Type, TypeVM):
		id.Type = TypeVM
		return id, nil
	case same(id.Type, TypeClassicVM):
		return ID{}, refuse(CodeClassicVM, "", "%s is a classic virtual machine, which network security groups do not guard; move it to Azure Resource Manager first", id.Name)
	}
	return ID{}, refuse(CodeInvalidID, "", "%s is not the id of a virtual machine (%s)", s, TypeVM)
}

// String returns the id as ARM writes it.
func (id ID) String() string {
	return "/subscriptions/" + id.Subscription + "/resourceGroups/" + id.ResourceGroup + "/providers/" + id.Type + "/" + id.Name
}

// Key returns the id in lower case. It is equal for ids that ARM treats as equal. Letters that only look or fold
// alike stay distinct (a Kelvin sign is not a k, a dotted I is not an i): ARM is assumed to use .NET's ordinal
// comparison (unverified), which knows only pairs that are each other's upper and lower case.
func (id ID) Key() string {
	b := make([]byte, 0, 192) // large enough for most ids, so that the buffer can stay on the stack
	for _, part := range [...]string{"/subscriptions/", id.Subscription, "/resourcegroups/", id.ResourceGroup, "/providers/", id.Type, "/", id.Name} {
		b = append(b, part...)
	}
	for i, c := range b {
		if c >= utf8.RuneSelf {
			return fold(id.String())
		}
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

func fold(s string) string {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return strings.Map(lower, s)
		}
	}
	return strings.ToLower(s)
}

func lower(c rune) rune {
	if l := unicode.ToLower(c); unicode.ToUpper(l) == c {
		return l
	}
	return c
}

func same(a, b string) bool { return fold(a) == fold(b) }

// Equal reports whether ARM treats both ids as the same resource.
func (id ID) Equal(other ID) bool {
	return id == other || sameEnd(id.Name, other.Name) && id.Key() == other.Key()
}

// sameEnd reports whether two keys may be equal as far as their names tell. Most different ids differ in the name,
// and comparing names is cheaper than building keys.
func sameEnd(a, b string) bool {
	for i := 1; i <= min(len(a), len(b)); i++ {
		x, y := a[len(a)-i], b[len(b)-i]
		if x >= utf8.RuneSelf || y >= utf8.RuneSelf {
			break // the keys decide
		}
		if lower(rune(x)) != lower(rune(y)) {
			return false
		}
	}
	return true
}

// IsZero reports whether the id is unset.
func (id ID) IsZero() bool { return id == ID{} }

// ValidGUID reports whether s is a GUID in ARM's form, in any case.
func ValidGUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i, c := range []byte(s) {
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F') {
				return false
			}
		}
	}
	return true
}

// nameOf reports whether s can be a name in an id: letters, digits and ._-(), as ARM allows for resource groups,
// not only dots, at most max characters.
func nameOf(s string, max int) bool {
	if s == "" || strings.Trim(s, ".") == "" {
		return false
	}
	n := 0
	for _, c := range s {
		n++
		if c == unicode.ReplacementChar || n > max {
			return false
		}
		if !unicode.IsLetter(c) && !unicode.IsDigit(c) && !strings.ContainsRune("._-()", c) {
			return false
		}
	}
	return true
}
