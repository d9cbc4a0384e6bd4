package handlers

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"portcullis/core/jit"
)

// bounded is a body with bounds of its own. They are looked at as soon as it is read: before any of
// its values is understood, before anybody is asked what the caller may do, and before anything is read.
type bounded interface{ Bounds() error }

// oversized is a refusal of a call that is larger than anybody would send. Nothing in it was understood, so the door
// tells the activity log of it.
type oversized struct{ error }

func (o oversized) Unwrap() error { return o.error }

// longTexts refuses a body in which a text is longer than most bytes, but for the justification, which has a
// bound of its own. What is not JSON it leaves to who reads it.
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
		if value.Kind() == '"' && len(value.String()) > most && d.StackPointer() != "/justification" {
			at := cut(path(d.StackPointer()))
			return &jit.Error{Code: CodeFieldTooLong, Target: at, Message: fmt.Sprintf("%s is longer than %d bytes", at, most)}
		}
	}
}

// crowded refuses a document that holds more objects, or more texts in lists, than one that says something can hold in its
// size. Empty ones take three bytes each, and to read 16 MiB of them allocates 2.4 GB, so they are counted before.
func crowded(body []byte) error {
	d := jsontext.NewDecoder(bytes.NewReader(body), jsontext.AllowDuplicateNames(true))
	objects, texts := 0, 0
	for {
		value, err := d.ReadToken()
		if err != nil { // the end, or what its reader refuses
			return nil
		}
		switch value.Kind() {
		case '{':
			objects++
		case '"':
			if kind, _ := d.StackIndex(d.StackDepth()); kind == '[' {
				texts++
			}
		}
		if objects > maxObjects || texts > maxTexts {
			return &jit.Error{Code: jit.CodeTooManyVMs, Target: "policies", Message: fmt.Sprintf("more than %d objects, or %d texts in lists; one document holds no more", maxObjects, maxTexts)}
		}
	}
}

// cut shortens a path that names may have made long.
func cut(at string) string {
	if len(at) > 200 {
		return strings.ToValidUTF8(at[:200], "") + "..."
	}
	return at
}

// atMost refuses more machines than one call takes.
func atMost(n, most int, at string) error {
	if n > most {
		return &jit.Error{Code: jit.CodeTooManyVMs, Target: at, Message: fmt.Sprintf("%d virtual machines; one call takes at most %d", n, most)}
	}
	return nil
}

// eachMachine holds the ports of every machine to their bounds.
func eachMachine[M interface{ SourceCounts() []int }](machines []M, at string) error {
	for i, m := range machines {
		if err := jit.Bounds(m.SourceCounts()); err != nil {
			return below(err, fmt.Sprintf("%s[%d]", at, i))
		}
	}
	return nil
}

// counts gives how many prefixes each port names.
func counts[P interface{ SourcePrefixes() []string }](ports []P) []int {
	var out []int
	for _, p := range ports {
		out = append(out, len(p.SourcePrefixes()))
	}
	return out
}

func (p portRule) SourcePrefixes() []string { return p.Prefixes }

func (p requestPort) SourcePrefixes() []string { return p.Prefixes }

func (vm enableVM) SourceCounts() []int { return counts(vm.Ports) }

func (vm requestVM) SourceCounts() []int { return counts(vm.Ports) }

const machinesAt = "virtualMachines"

func (b *enableBody) Bounds() error {
	if err := atMost(len(b.VirtualMachines), jit.MaxVMs, machinesAt); err != nil {
		return err
	}
	return eachMachine(b.VirtualMachines, machinesAt)
}

func (b *vmsBody) Bounds() error { return atMost(len(b.VirtualMachines), jit.MaxVMs, machinesAt) }

func (b *requestBody) Bounds() error {
	if err := atMost(len(b.VirtualMachines), jit.MaxVMs, machinesAt); err != nil {
		return err
	}
	return eachMachine(b.VirtualMachines, machinesAt)
}
