// Package query reads the query of a call strictly: every parameter is in the
// table of its route, stands once and is what it can be. What is not understood
// whole is refused by name, since it may have been meant to hold something back:
// a dry run that is misspelt must not become the real thing.
//
// Names are matched without regard to case, values are not. A flag without a value
// (?dryRun) is refused; any other parameter without one is as if it was left out.
//
// It does not know what a list does with a filter, or who may ask.
package query

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"portcullis/core/jit"
	"portcullis/core/store"
)

// The refusals of this package. Every one leaves everything as it was.
const (
	CodeInvalid  jit.Code = "InvalidQueryParameter"   // a value that the parameter cannot have, or a query that cannot be read
	CodeUnknown  jit.Code = "UnknownQueryParameter"   // a name that the route does not have
	CodeRepeated jit.Code = "DuplicateQueryParameter" // a name that stands twice, in whatever case
	CodeNoDryRun jit.Code = "DryRunNotSupported"      // a dry run of what has none
)

// maxShown is how many bytes of a name that somebody sent are shown.
const maxShown = 80

// MaxValue is the longest value of a parameter, in bytes.
const MaxValue = 4096

// Parameter is one that a route's query may hold.
type Parameter struct {
	Name string
	Says string // for people, in the OpenAPI document
	// Values are all that it may be; nil for any text, which its reader judges.
	Values []string
	// Shape is the name of the shape of a text in the OpenAPI document, "" for any.
	Shape string
	// Flag says that it is true or false, in any case.
	Flag bool
	// Required says in the OpenAPI document that it must be there; the route itself refuses a call without it.
	Required bool
}

// Values are the parameters of one call, by the names in the table. What was left out is "".
type Values map[string]string

// Read reads a raw query by the table of a route. A nil table takes no parameter.
func Read(raw string, table []Parameter) (Values, error) {
	sent, err := parse(raw)
	if err != nil {
		return nil, err
	}
	out := Values{}
	for _, name := range slices.Sorted(maps.Keys(sent)) {
		p, known := find(table, name)
		if !known {
			return nil, refuse(CodeUnknown, store.Cut(name, maxShown), "the query parameter %q is not known here; %s", store.Cut(name, maxShown), names(table))
		}
		if _, twice := out[p.Name]; twice || len(sent[name]) != 1 {
			return nil, refuse(CodeRepeated, p.Name, "the query parameter %s stands more than once", p.Name)
		}
		value, err := p.read(sent[name][0])
		if err != nil {
			return nil, err
		}
		out[p.Name] = value
	}
	return out, nil
}

// Tolerate reads a raw query as Azure Resource Manager does, which passes over what it
// does not know. What could be read in two ways is refused all the same, and so is whatever asks for
// a dry run, in any spelling: no route of that contract has one.
func Tolerate(raw string, table []Parameter) error {
	sent, err := parse(raw)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(sent)) {
		p, known := find(table, name)
		switch {
		case known && (seen[p.Name] || len(sent[name]) != 1):
			return refuse(CodeRepeated, p.Name, "the query parameter %s stands more than once", p.Name)
		case !known && asksForDryRun(name):
			return refuse(CodeNoDryRun, store.Cut(name, maxShown), "there is no dry run here, and nothing was done; the verbs below /api/ that name machines or a request have one (?dryRun=true)")
		}
		seen[p.Name] = true
	}
	return nil
}

// Fold gives a query parameter whose name's case does not count, unless it is empty or stands twice.
func Fold(q url.Values, name string) (string, bool) {
	for key, values := range q {
		if strings.EqualFold(key, name) && len(values) == 1 && values[0] != "" {
			return values[0], true
		}
	}
	return "", false
}

func parse(raw string) (url.Values, error) {
	sent, err := url.ParseQuery(raw)
	if err != nil { // its text quotes what was sent
		return nil, refuse(CodeInvalid, "query", "the query cannot be read: write & between parameters, and %% with two hexadecimal digits")
	}
	return sent, nil
}

func find(table []Parameter, name string) (Parameter, bool) {
	i := slices.IndexFunc(table, func(p Parameter) bool { return strings.EqualFold(p.Name, name) })
	if i < 0 {
		return Parameter{}, false
	}
	return table[i], true
}

func (p Parameter) read(value string) (string, error) {
	if len(value) > MaxValue {
		return "", refuse(CodeInvalid, p.Name, "%s is longer than %d bytes", p.Name, MaxValue)
	}
	if p.Flag {
		switch value = strings.ToLower(value); value {
		case "false", "true":
		default:
			return "", refuse(CodeInvalid, p.Name, "%.80q is neither true nor false", value)
		}
	}
	if value != "" && p.Values != nil && !slices.Contains(p.Values, value) {
		return "", refuse(CodeInvalid, p.Name, "%.80q is not a value of %s, which is one of %s", value, p.Name, strings.Join(p.Values, ", "))
	}
	return value, nil
}

// asksForDryRun reports whether a name is one by which tools ask to change nothing.
func asksForDryRun(name string) bool {
	plain := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' {
			return r
		}
		return -1
	}, strings.ToLower(name))
	return slices.Contains([]string{"dryrun", "whatif", "validateonly", "simulate", "noop"}, plain)
}

// names tells which parameters a table has.
func names(table []Parameter) string {
	if len(table) == 0 {
		return "this operation takes none"
	}
	var out []string
	for _, p := range table {
		out = append(out, p.Name)
	}
	return "known are " + strings.Join(out, ", ")
}

func refuse(code jit.Code, target, format string, args ...any) *jit.Error {
	return &jit.Error{Code: code, Target: target, Message: fmt.Sprintf(format, args...)}
}

// Flag gives a flag; false where it was left out.
func (v Values) Flag(name string) bool { return v[name] == "true" }

// Time reads an optional time; the zero one where it was left out.
func (v Values) Time(name string) (time.Time, error) {
	if v[name] == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339Nano, v[name])
	if err != nil {
		return t, refuse(CodeInvalid, name, "%.80q is not a time in UTC such as 2026-01-02T15:04:05Z", v[name])
	}
	return t.UTC(), nil
}

// GUID reads an optional GUID, in lower case; "" where it was left out.
func (v Values) GUID(name string) (string, error) {
	if v[name] != "" && !jit.ValidGUID(v[name]) {
		return "", refuse(CodeInvalid, name, "%.80q is not a GUID", v[name])
	}
	return strings.ToLower(v[name]), nil
}

// VM reads the optional machine id vm, as its key.
func (v Values) VM() (string, error) {
	if v["vm"] == "" {
		return "", nil
	}
	id, err := jit.ParseVM(v["vm"])
	if refused, ok := errors.AsType[*jit.Error](err); ok {
		return "", refused.At("vm")
	}
	return id.Key(), err
}

// Limit reads the page size top: 1 to 1,000, 100 where it was left out.
func (v Values) Limit() (int, error) {
	if v["top"] == "" {
		return 100, nil
	}
	n, err := strconv.Atoi(v["top"])
	if err != nil || n < 1 || n > 1000 {
		return 0, refuse(CodeInvalid, "top", "%.80q is not a page size from 1 to 1000", v["top"])
	}
	return n, nil
}

// Next gives the path and query of the page that begins at the cursor, "" where there is none.
func (v Values) Next(path, cursor string) string {
	if cursor == "" {
		return ""
	}
	q := url.Values{"cursor": {cursor}}
	for name, value := range v {
		if name != "cursor" {
			q.Set(name, value)
		}
	}
	return path + "?" + q.Encode()
}
