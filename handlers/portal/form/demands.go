package form

import (
	"cmp"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"portcullis/core/jit"
)

// Demands is the part of the form that says what requests must meet, as it was typed.
type Demands struct {
	Any    bool   // forbid every source
	V4, V6 string // the widest prefixes, such as /24; "" for no bound
	Why    bool   // require a justification
	N, By  string // how many must approve, and the object ids of those who may, with spaces between; the form keeps them
	Floor  jit.Options
	// KeepAny and KeepWhy leave these as they are, in a form for several policies.
	KeepAny, KeepWhy bool
	Unasked          bool // the form does not speak of it: it was drawn before there was such a part
}

func demandsOf(o, floor jit.Options) Demands {
	return Demands{Any: o.ForbidAnySource, V4: slash(o.WidestIPv4), V6: slash(o.WidestIPv6), Why: o.RequireJustification, N: number(o.Approvers), By: o.ApprovedBy.String(), Floor: floor}
}

func readDemands(f url.Values, floor jit.Options) Demands {
	return Demands{Any: ticked(f, "noany"), KeepAny: f.Get("noany") == leave, KeepWhy: f.Get("needwhy") == leave, V4: strings.TrimSpace(f.Get("widest4")), V6: strings.TrimSpace(f.Get("widest6")), Why: ticked(f, "needwhy"), N: f.Get("allapprovers"), By: f.Get("approvedby"), Floor: floor, Unasked: !f.Has("demands")}
}

// ticked reports whether something is asked for: by a tick, or by a choice in a form for several policies.
func ticked(f url.Values, name string) bool {
	return f.Has(name) && f.Get(name) != leave && f.Get(name) != "off"
}

// bulk reads the part over the options that one of several policies has. What is wrong stands in w.
func (d Demands) bulk(own jit.Options, w Wrongs) jit.Options {
	full := d
	for field, is := range map[*string]string{&full.V4: slash(own.WidestIPv4), &full.V6: slash(own.WidestIPv6)} {
		switch *field {
		case "":
			*field = is
		case "none":
			*field = ""
		}
	}
	if d.N == leave {
		full.N = number(own.Approvers)
	}
	if d.By == leave {
		full.By = own.ApprovedBy.String()
	}
	if d.KeepAny {
		full.Any = own.ForbidAnySource
	}
	if d.KeepWhy {
		full.Why = own.RequireJustification
	}
	if o := full.options(w); o != nil {
		return *o
	}
	return own
}

// options reads the part; nil where the form does not speak of it. What is wrong stands in w.
func (d Demands) options(w Wrongs) *jit.Options {
	if d.Unasked {
		return nil
	}
	o := jit.Options{ForbidAnySource: d.Any, RequireJustification: d.Why}
	for field, to := range map[string]struct {
		text string
		n    *int
		most int
	}{"widest4": {d.V4, &o.WidestIPv4, 32}, "widest6": {d.V6, &o.WidestIPv6, 128}} {
		if to.text == "" {
			continue
		}
		n, err := strconv.Atoi(strings.TrimPrefix(to.text, "/"))
		if err != nil || n < 1 || n > to.most {
			w.Put(field, &jit.Error{Message: fmt.Sprintf("%.20q is not the length of a prefix from /1 to /%d; leave it empty for no bound", to.text, to.most)})
			continue
		}
		*to.n = n
	}
	o.Approvers = approvers(d.N, "allapprovers", w)
	var err error
	if o.ApprovedBy, err = jit.PeopleOf(strings.Fields(d.By)...); err != nil {
		w.Put("approvedby", err)
	}
	return &o
}

// approvers reads how many people must approve; "" for nobody. What is wrong stands in w.
func approvers(text, field string, w Wrongs) int {
	n, err := strconv.Atoi(cmp.Or(strings.TrimSpace(text), "0"))
	if err != nil || n < 0 || n > jit.MaxApprovers {
		w.Put(field, &jit.Error{Message: fmt.Sprintf("%.20q is not a number from 0 to %d", text, jit.MaxApprovers)})
	}
	return n
}

// number writes a number, "" for 0.
func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func slash(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("/%d", n)
}
