package show

import (
	"strconv"
	"strings"

	"portcullis/core/jit"
	"portcullis/core/store"
	"portcullis/handlers/portal/words"
)

// Entry is one line of the log.
type Entry struct {
	store.Entry
	Machine string // its name, or the target's
	VMID    string
	PortsOf string
	From    string
	Said    string // why, in words
	Tells   string // the end of the object id, which tells people of one name apart
	Facts   []Fact // who it was in full
	Level   string
}

// Fact is something that is known of who did it.
type Fact struct{ Name, Value string }

// EntriesOf returns lines of the log as they are shown.
func EntriesOf(entries []store.Entry) []Entry {
	var out []Entry
	for _, e := range entries {
		r := Entry{Entry: e, From: strings.Join(e.Sources, ", "), Said: words.Because(words.Reason(e.Reason), words.WithoutCode(e.Message)), Level: "good", Facts: facts(e.Actor)}
		r.Tells = e.Actor.Mark()
		if r.From == "*" {
			r.From = "any address"
		}
		switch {
		case !e.VM.IsZero():
			r.Machine, r.VMID = e.VM.Name, e.VM.String()
		case !e.Target.IsZero():
			r.Machine = e.Target.Name
		}
		var ports []string
		for _, p := range e.Ports {
			ports = append(ports, strconv.Itoa(int(p)))
		}
		r.PortsOf = strings.Join(ports, ", ")
		switch e.Result {
		case store.Refused:
			r.Level = "warn"
		case store.Failed:
			r.Level = "bad"
		}
		out = append(out, r)
	}
	return out
}

// facts gives what the log knows of who did it beside the name, nothing of what the app did by itself.
func facts(a jit.Actor) []Fact {
	if a.Object == "" {
		return nil
	}
	kind := "Person"
	if a.Kind == jit.Application {
		kind = "Application"
	}
	out := []Fact{{kind, a.Object}, {"Directory", a.Tenant}}
	for _, f := range []Fact{{"Client", a.Client}, {"Signed in with", a.SignIn}} {
		if f.Value != "" {
			out = append(out, f)
		}
	}
	if a.Address.IsValid() {
		out = append(out, Fact{"From", a.Address.String()})
	}
	return out
}
