package hostsim

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"portcullis/functions"
	"portcullis/local/hostsim/route"
)

// function is one <name>/function.json of the app.
type function struct {
	name    string
	trigger string // httpTrigger, serviceBusTrigger or timerTrigger
	binding string

	methods map[string]bool // HTTP: upper-case; nil means any
	route   route.Route     // HTTP

	queue, connection string // Service Bus

	schedule cron.Schedule // timer
}

// binding is the fields of function.json that the stand-in knows; the real host
// passes over unknown ones, and so does it.
type binding struct {
	Type         string   `json:"type"`
	Direction    string   `json:"direction"`
	Name         string   `json:"name"`
	AuthLevel    string   `json:"authLevel"`
	Methods      []string `json:"methods"`
	Route        *string  `json:"route"`
	QueueName    string   `json:"queueName"`
	Connection   string   `json:"connection"`
	Cardinality  string   `json:"cardinality"`
	DataType     string   `json:"dataType"`
	Sessions     bool     `json:"isSessionsEnabled"`
	Schedule     string   `json:"schedule"`
	RunOnStartup bool     `json:"runOnStartup"`
}

// The pattern of the real host (Utility.IsValidFunctionName), and its reserved
// name.
var functionName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_\-]{0,127}$`)

// readFunctions reads the function.json files one level below root, sorted by
// name. No function at all is an error: the real host would never start the
// handler.
func readFunctions(root string, s settings) ([]*function, error) {
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, err
	}
	var all []*function
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(root, e.Name(), "function.json"))
		if err != nil {
			continue // a file, or a folder that is not a function's
		}
		f, err := parseFunction(e.Name(), text, s)
		if err != nil {
			return nil, fmt.Errorf("%s/function.json: %w", e.Name(), err)
		}
		for _, other := range all {
			if strings.EqualFold(other.name, f.name) {
				return nil, fmt.Errorf("functions %s and %s have one name", other.name, f.name)
			}
			if other.clashes(f) {
				return nil, fmt.Errorf("functions %s and %s answer the same method and route", other.name, f.name)
			}
		}
		all = append(all, f)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no function.json one level below %s", root)
	}
	return all, nil
}

func parseFunction(name string, text []byte, s settings) (*function, error) {
	if !functionName.MatchString(name) || strings.EqualFold(name, "host") {
		return nil, errors.New("the folder's name is not a legal function name")
	}
	var doc struct {
		Bindings []binding       `json:"bindings"`
		Retry    json.RawMessage `json:"retry"`
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		return nil, err
	}
	if doc.Retry != nil {
		return nil, errors.New("retry policies are not simulated")
	}
	var trigger *binding
	var out []binding
	for i, b := range doc.Bindings {
		switch {
		case b.Direction == "out":
			out = append(out, b)
		case trigger != nil:
			return nil, errors.New("more than one input binding")
		default:
			trigger = &doc.Bindings[i]
		}
	}
	if trigger == nil || trigger.Name == "" {
		return nil, errors.New("no trigger with a name")
	}
	f := &function{name: name, trigger: trigger.Type, binding: trigger.Name}
	switch trigger.Type {
	case "httpTrigger":
		return f, f.http(*trigger, out, s)
	case "serviceBusTrigger", "timerTrigger":
		if len(out) > 0 {
			return nil, fmt.Errorf("output binding of type %q is not simulated", out[0].Type)
		}
		if trigger.Type == "timerTrigger" {
			return f, f.timer(*trigger)
		}
		return f, f.serviceBus(*trigger, s)
	}
	return nil, fmt.Errorf("trigger type %q is not simulated", trigger.Type)
}

func (f *function) http(b binding, out []binding, s settings) error {
	if len(out) != 1 || out[0].Type != "http" {
		return errors.New("not exactly one httpTrigger in and one http out, so the host would not proxy the request")
	}
	if !strings.EqualFold(b.AuthLevel, "anonymous") {
		return fmt.Errorf("authLevel %q: keys are not simulated, only anonymous is (the host's default is function)", b.AuthLevel)
	}
	for _, m := range b.Methods {
		if f.methods == nil {
			f.methods = map[string]bool{}
		}
		f.methods[strings.ToUpper(m)] = true
	}
	template := f.name
	if b.Route != nil && *b.Route != "" {
		template = *b.Route
	}
	var err error
	f.route, err = route.Parse(strings.Trim(s.routePrefix+"/"+template, "/"))
	return err
}

func (f *function) serviceBus(b binding, s settings) error {
	switch {
	case !s.hasBundle:
		return errors.New("serviceBusTrigger needs extensionBundle in host.json")
	case b.QueueName == "":
		return errors.New("no queueName (topics are not simulated)")
	case b.Cardinality != "" && !strings.EqualFold(b.Cardinality, "one"):
		return fmt.Errorf("cardinality %q is not simulated", b.Cardinality)
	case b.DataType != "" && !strings.EqualFold(b.DataType, "string"):
		return fmt.Errorf("dataType %q is not simulated", b.DataType)
	case b.Sessions:
		return errors.New("sessions are not simulated")
	}
	f.queue, f.connection = b.QueueName, b.Connection
	if f.connection == "" {
		f.connection = "ServiceBus" // the extension's default
	}
	return nil
}

// timer reads a schedule. The cron library reads it only if the host reads it alike.
func (f *function) timer(b binding) error {
	if err := functions.CheckSchedule(b.Schedule); err != nil {
		return err
	}
	var err error
	f.schedule, err = cron.NewParser(cron.Second | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow).Parse(b.Schedule)
	if err != nil {
		return fmt.Errorf("schedule %q: %w", b.Schedule, err)
	}
	if f.schedule.Next(time.Now()).IsZero() {
		return fmt.Errorf("schedule %q never comes", b.Schedule)
	}
	if b.RunOnStartup {
		return errors.New("runOnStartup is not simulated")
	}
	return nil
}

// clashes reports whether both answer one method on the same template.
func (f *function) clashes(g *function) bool {
	if f.trigger != "httpTrigger" || g.trigger != "httpTrigger" || f.route.Shape() != g.route.Shape() {
		return false
	}
	if f.methods == nil || g.methods == nil {
		return true
	}
	for m := range f.methods {
		if g.methods[m] {
			return true
		}
	}
	return false
}

// lookup returns the HTTP function that answers method on path, or nil.
func lookup(all []*function, method, path string) *function {
	var best *function
	for _, f := range all {
		if f.trigger != "httpTrigger" || f.methods != nil && !f.methods[method] || !f.route.Match(path) {
			continue
		}
		if best == nil || f.route.Before(best.route) {
			best = f
		}
	}
	return best
}
