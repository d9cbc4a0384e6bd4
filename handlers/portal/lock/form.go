package lock

import (
	"cmp"
	"net/url"
	"strings"

	"portcullis/core/area"
	"portcullis/core/jit"
	"portcullis/core/lockdown"
	"portcullis/handlers/portal/form"
	"portcullis/handlers/portal/words"
)

// The choices of what to lock down.
const (
	machine      = "machine"
	person       = "person"
	group        = "group"
	subscription = "subscription"
	everything   = "everything"
)

// Form is what to lock down, as it was typed.
type Form struct {
	Scope                                string // one of the choices
	Machine, Person, Group, Subscription string
	Reason                               string
	Hold                                 bool
	Wrong                                form.Wrongs
	Seen                                 string // names what the counts were shown of; "" before that
}

// New returns the form before anybody has filled it in: for a machine, where vm names one.
func New(vm string) Form {
	return Form{Scope: machine, Machine: vm, Hold: true, Wrong: form.Wrongs{}}
}

// Read reads the form as it was sent, and the order that it is. What is wrong with it stands in Wrong, by field.
func Read(f url.Values) (Form, lockdown.Order) {
	text := func(name string) string { return strings.TrimSpace(f.Get(name)) }
	v := Form{Scope: cmp.Or(f.Get("scope"), machine), Machine: text(machine), Person: text(person), Group: text(group), Subscription: text(subscription), Reason: f.Get("reason"), Hold: f.Has("hold"), Wrong: form.Wrongs{}}
	said := map[string]string{v.Scope: map[string]string{machine: v.Machine, person: v.Person, group: v.Group, subscription: v.Subscription}[v.Scope]}
	scope, err := area.Parse(said[person], said[machine], said[group], said[subscription], v.Scope == everything)
	if refused := jit.Refused(err); refused != nil && refused.Code == area.CodeNoScope {
		err = &jit.Error{Message: "say which one"}
	}
	v.Wrong.Put("scope", err)
	reason, err := area.Reason(v.Reason)
	v.Wrong.Put("reason", err)
	return v, lockdown.Order{Scope: scope, Reason: reason, Hold: v.Hold}
}

// Key names what an order closes and whether it holds: who is shown counts of one order gives no other by that.
func Key(o lockdown.Order) string {
	if o.Hold {
		return o.Scope.Key() + " held"
	}
	return o.Scope.Key()
}

// Refused puts a refusal beside the field that it concerns.
func (v *Form) Refused(told *jit.Error) {
	field := ""
	switch {
	case strings.HasPrefix(told.Target, "scope"):
		field = "scope"
	case told.Target == "reason":
		field = "reason"
	}
	v.Wrong.Put(field, told)
}

// Preview is what a lock-down would close.
type Preview struct {
	Scope   string
	Found   string   // requests with something open, or that wait
	Targets string   // what is written, once each
	Windows []string // as far as may be read
	Hidden  int
	Hold    bool
}

// PreviewOf returns it as it is shown.
func PreviewOf(p lockdown.Preview) Preview {
	return Preview{Scope: p.Scope.String(), Found: words.Counted(p.Found, "request", "requests"), Targets: words.Counted(p.Targets, "security group or firewall", "security groups and firewalls"),
		Windows: words.Ended(p.Ends.Grants), Hidden: p.Ends.Hidden, Hold: p.Hold}
}
