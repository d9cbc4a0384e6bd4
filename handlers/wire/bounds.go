package wire

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"portcullis/core/area"
	"portcullis/core/decide"
	"portcullis/core/jit"
	"portcullis/core/store"
)

// bounded is a body with bounds of its own. They are looked at as soon as it is read: before any of
// its values is understood, before anybody is asked what the caller may do, and before anything is read.
type bounded interface{ Bounds() error }

// Oversized is a refusal of a call that is larger than anybody would send. Nothing in it was understood, so the door
// tells the activity log of it.
type Oversized struct{ error }

// Unwrap gives the refusal.
func (o Oversized) Unwrap() error { return o.error }

// maxPath is how many bytes of a path are shown, which names may have made long.
const maxPath = 200

// longTexts refuses a body in which a text is longer than most bytes, and a justification or a review longer than its most characters can be. What is not
// JSON it leaves to who reads it.
func longTexts(body []byte, most int) error {
	if len(body) <= most {
		return nil
	}
	d := jsontext.NewDecoder(bytes.NewReader(body), jsontext.AllowDuplicateNames(true))
	for {
		value, err := d.ReadToken()
		if err != nil { // the end, or what its reader refuses
			return nil
		}
		if value.Kind() != '"' || len(value.String()) <= most {
			continue
		}
		switch where := d.StackPointer(); {
		case where == "/review" && len(value.String()) > utf8.UTFMax*jit.MaxReview:
			_, err := jit.Review(value.String())
			return err
		case where == "/reason" && len(value.String()) > utf8.UTFMax*jit.MaxJustification:
			_, err := area.Reason(value.String())
			return err
		case where == "/reason", where == "/review":
		case where != "/justification":
			at := store.Cut(path(where), maxPath)
			return &jit.Error{Code: CodeFieldTooLong, Target: at, Message: fmt.Sprintf("%s is longer than %d bytes", at, most)}
		case len(value.String()) > utf8.UTFMax*jit.MaxJustification:
			_, err := jit.Justification(value.String())
			return err
		}
	}
}

// maxElements is how many values other than texts the lists of a body may hold: the machines and ports of the largest call.
const maxElements = jit.MaxVMs * (jit.MaxPorts + 1)

// Crowded refuses, with the target at the field of the body that holds them, more objects and other values in lists, or more texts in
// lists, than said. Empty ones take three bytes each, and what is made of one takes a hundred and more: to read 1 MiB of them
// allocates up to 180 MB. So they are counted before.
func Crowded(body []byte, maxElements, maxTexts int) error {
	if len(body) <= 2*min(maxElements, maxTexts) { // one takes two bytes at least, with its comma
		return nil
	}
	d := jsontext.NewDecoder(bytes.NewReader(body), jsontext.AllowDuplicateNames(true))
	elements, texts := 0, 0
	for {
		value, err := d.ReadToken()
		if err != nil { // the end, or what its reader refuses
			return nil
		}
		kind := value.Kind()
		depth := d.StackDepth()
		if kind == '{' || kind == '[' {
			depth-- // it is on the stack itself
		}
		in, _ := d.StackIndex(depth)
		switch {
		case kind == '}' || kind == ']':
		case kind == '"' && in == '[':
			texts++
		case kind == '{' || in == '[':
			elements++
		}
		if elements > maxElements || texts > maxTexts {
			at, _, _ := strings.Cut(store.Cut(path(d.StackPointer()), maxPath), "[")
			at, _, _ = strings.Cut(at, ".")
			return Oversized{&jit.Error{Code: jit.CodeTooManyVMs, Target: at, Message: fmt.Sprintf("more than %d values, or %d texts, in lists; one body holds no more", maxElements, maxTexts)}}
		}
	}
}

// AtMost refuses more machines than one call takes.
func AtMost(n, most int, at string) error {
	if n > most {
		return &jit.Error{Code: jit.CodeTooManyVMs, Target: at, Message: fmt.Sprintf("%d virtual machines; one call takes at most %d", n, most)}
	}
	return nil
}

// EachMachine holds the ports of every machine to their bounds.
func EachMachine[M interface{ SourceCounts() []int }](machines []M, at string) error {
	for i, m := range machines {
		if err := decide.Bounds(m.SourceCounts()); err != nil {
			return Below(err, fmt.Sprintf("%s[%d]", at, i))
		}
	}
	return nil
}

// MachinesField is where bodies have their machines.
const MachinesField = "virtualMachines"

// Bounds holds the body to jit.MaxVMs machines, and each to the bounds of its ports.
func (b *EnableBody) Bounds() error {
	if err := AtMost(len(b.VirtualMachines), jit.MaxVMs, MachinesField); err != nil {
		return err
	}
	return EachMachine(b.VirtualMachines, MachinesField)
}

// Bounds holds the body to jit.MaxVMs machines.
func (b *VmsBody) Bounds() error { return AtMost(len(b.VirtualMachines), jit.MaxVMs, MachinesField) }

// Bounds holds the body to jit.MaxVMs machines, and each to the bounds of its ports.
func (b *RequestBody) Bounds() error {
	if err := AtMost(len(b.VirtualMachines), jit.MaxVMs, MachinesField); err != nil {
		return err
	}
	return EachMachine(b.VirtualMachines, MachinesField)
}
