// Package functions holds the declarations of the app's Azure Functions: one folder per function, named after it,
// with its function.json. The folders are embedded, and [All] reads them, so that tests can compare the
// declarations with the handler's routes.
//
// The names, fields and bindings are those of the Functions host 4.x with a custom handler
// (https://learn.microsoft.com/azure/azure-functions/functions-custom-handlers). The reader is stricter than the
// host: it knows only the three triggers that the app uses, and refuses unknown fields, because the host would
// silently ignore a misspelt one.
//
// The package only declares and reads. It does not package the folders (local/pack does: the host finds a
// function.json only one level below host.json), and the running app does not need it.
package functions

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

//go:embed */function.json
var declarations embed.FS

// Kind is what starts a function.
type Kind int

// The triggers that the app uses. The zero Kind is none of them.
const (
	HTTP       Kind = iota + 1 // an httpTrigger with its http output
	ServiceBus                 // a serviceBusTrigger on a queue, one message at a time
	Timer                      // a timerTrigger
)

// String returns the kind's name as Go code spells it.
func (k Kind) String() string {
	switch k {
	case HTTP:
		return "HTTP"
	case ServiceBus:
		return "ServiceBus"
	case Timer:
		return "Timer"
	}
	return fmt.Sprintf("Kind(%d)", int(k))
}

// Function is one declared function. Fields that its Kind does not use are empty.
type Function struct {
	Name        string   // the folder, and the path the host posts a trigger to
	Kind        Kind     //
	BindingName string   // the trigger's name: its key under Data in the host's envelope
	Methods     []string // HTTP: upper-case, sorted; empty means any method
	Route       string   // HTTP: template below the route prefix, such as requests/{id?}
	AuthLevel   string   // HTTP: anonymous, function or admin
	Queue       string   // ServiceBus
	Connection  string   // ServiceBus: prefix of the settings that name the namespace
	Schedule    string   // Timer: six-field NCRONTAB, seconds first, UTC
}

// All returns the functions declared in this package, sorted by name.
func All() ([]Function, error) { return Parse(declarations) }

// Parse returns the functions declared in the folders of fsys, sorted by name.
// A folder without a function.json is not a function. An unknown field, an
// unknown or missing trigger and a binding beyond the trigger and its HTTP
// output are errors.
func Parse(fsys fs.FS) ([]Function, error) {
	files, err := fs.Glob(fsys, "*/function.json")
	if err != nil {
		return nil, fmt.Errorf("list declarations: %w", err)
	}
	slices.SortFunc(files, func(a, b string) int { return strings.Compare(path.Dir(a), path.Dir(b)) })
	all := make([]Function, 0, len(files))
	for _, file := range files {
		text, err := fs.ReadFile(fsys, file)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
		f, err := parse(path.Dir(file), text)
		if err != nil {
			return nil, fmt.Errorf("parse %s: %w", file, err)
		}
		all = append(all, f)
	}
	return all, nil
}

// binding has every field of the three triggers and the http output.
type binding struct {
	Type        string   `json:"type"`
	Direction   string   `json:"direction"`
	Name        string   `json:"name"`
	AuthLevel   string   `json:"authLevel"`
	Methods     []string `json:"methods"`
	Route       string   `json:"route"`
	QueueName   string   `json:"queueName"`
	Connection  string   `json:"connection"`
	Cardinality string   `json:"cardinality"`
	Schedule    string   `json:"schedule"`
}

func parse(name string, text []byte) (Function, error) {
	var doc struct {
		Bindings []binding `json:"bindings"`
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&doc); err != nil {
		return Function{}, err
	}
	if _, err := d.Token(); err != io.EOF {
		return Function{}, fmt.Errorf("more than one JSON value")
	}
	var in, out []binding
	for _, b := range doc.Bindings {
		switch b.Direction {
		case "in":
			in = append(in, b)
		case "out":
			out = append(out, b)
		default:
			return Function{}, fmt.Errorf("binding %q: direction %q is neither in nor out", b.Name, b.Direction)
		}
	}
	if len(in) != 1 {
		return Function{}, fmt.Errorf("%d input bindings, want exactly one trigger", len(in))
	}
	return function(name, in[0], out)
}

func function(name string, trigger binding, out []binding) (Function, error) {
	if trigger.Name == "" {
		return Function{}, fmt.Errorf("the trigger has no name")
	}
	f := Function{Name: name, BindingName: trigger.Name}
	wantOut := 0
	switch trigger.Type {
	case "httpTrigger":
		f.Kind, f.Route, f.AuthLevel, wantOut = HTTP, trigger.Route, trigger.AuthLevel, 1
		for _, m := range trigger.Methods {
			f.Methods = append(f.Methods, strings.ToUpper(m))
		}
		slices.Sort(f.Methods)
	case "serviceBusTrigger":
		f.Kind, f.Queue, f.Connection = ServiceBus, trigger.QueueName, trigger.Connection
		if trigger.Cardinality != "one" {
			return Function{}, fmt.Errorf("cardinality %q: locks are renewed only for cardinality one", trigger.Cardinality)
		}
	case "timerTrigger":
		f.Kind, f.Schedule = Timer, trigger.Schedule
		if err := CheckSchedule(f.Schedule); err != nil {
			return Function{}, err
		}
	default:
		return Function{}, fmt.Errorf("trigger type %q is not one of httpTrigger, serviceBusTrigger, timerTrigger", trigger.Type)
	}
	if len(out) != wantOut {
		return Function{}, fmt.Errorf("%d output bindings on a %s function, want %d", len(out), f.Kind, wantOut)
	}
	if wantOut == 1 && out[0].Type != "http" {
		return Function{}, fmt.Errorf("output binding of type %q, want http: with any other the host does not proxy the request", out[0].Type)
	}
	return f, nil
}
