package deploy_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// run is one run of a workflow, by a small part of what Logic Apps does: scopes in the order of runAfter, If, Until, and the functions of
// expressions that the workflows here use. What it does not know is an error. It leaves out how connectors work.
type run struct {
	t       *testing.T
	trigger any
	answer  func(name string, times int) (status string, body any) // of the actions that call somebody
	calls   map[string]int
	status  map[string]string
	outputs map[string]any
	posted  []map[string]any // bodies of the connectors' calls
}

// scope runs the actions of a scope, each once all before it have ended, and gives its status: that of the actions after which none runs, and where
// such a one was skipped, of those before it, as Microsoft's documentation of runAfter has it.
func (r *run) scope(actions map[string]*action) (string, error) {
	done := map[string]bool{}
	for len(done) < len(actions) {
		before := len(done)
		for name, a := range actions {
			if done[name] || !r.ready(a, done) {
				continue
			}
			done[name] = true
			status := "Skipped"
			if r.follows(a) {
				var err error
				if status, err = r.act(name, a); err != nil {
					return "", fmt.Errorf("%s: %w", name, err)
				}
			}
			r.status[name] = status
		}
		if len(done) == before {
			return "", errors.New("actions wait for each other")
		}
	}
	for name := range actions {
		if last(actions, name) && r.failed(actions, name) {
			return "Failed", nil
		}
	}
	return "Succeeded", nil
}

// last reports whether no action runs after one.
func last(actions map[string]*action, name string) bool {
	for _, a := range actions {
		if a.RunAfter[name] != nil {
			return false
		}
	}
	return true
}

func (r *run) failed(actions map[string]*action, name string) bool {
	if r.status[name] != "Skipped" {
		return r.status[name] != "Succeeded"
	}
	for earlier := range actions[name].RunAfter {
		if r.failed(actions, earlier) {
			return true
		}
	}
	return false
}

func (r *run) ready(a *action, done map[string]bool) bool {
	for earlier := range a.RunAfter {
		if !done[earlier] {
			return false
		}
	}
	return true
}

func (r *run) follows(a *action) bool {
	for earlier, statuses := range a.RunAfter {
		if !slices.Contains(statuses, r.status[earlier]) {
			return false
		}
	}
	return true
}

// act runs one action and gives its status.
func (r *run) act(name string, a *action) (string, error) {
	var inputs any
	if len(a.Inputs) > 0 {
		if err := json.Unmarshal(a.Inputs, &inputs); err != nil {
			return "", err
		}
	}
	switch a.Type {
	case "Wait":
		return "Succeeded", nil
	case "If":
		condition, err := r.filled(a.Expression)
		if err != nil {
			return "", err
		}
		if pair := condition.(map[string]any)["and"].([]any)[0].(map[string]any)["equals"].([]any); pair[0] == pair[1] {
			return r.scope(a.Actions)
		}
		return r.scope(a.Else.Actions)
	case "Until":
		for range 60 {
			if _, err := r.scope(a.Actions); err != nil {
				return "", err
			}
			if end, err := r.filled(a.Expression); end == true || err != nil {
				return "Succeeded", err
			}
		}
		return "TimedOut", nil
	}
	filled, err := r.filled(inputs)
	if err != nil {
		return "", err
	}
	switch a.Type {
	case "Compose":
		r.outputs[name] = filled
		return "Succeeded", nil
	case "Table":
		r.outputs[name] = map[string]any{"body": fmt.Sprintf("<table of %d>", len(filled.(map[string]any)["from"].([]any)))}
		return "Succeeded", nil
	case "ApiConnection":
		r.posted = append(r.posted, filled.(map[string]any)["body"].(map[string]any))
		return "Succeeded", nil
	case "Http", "ApiConnectionWebhook":
		r.calls[name]++
		status, body := r.answer(name, r.calls[name])
		r.outputs[name] = map[string]any{"body": body}
		return status, nil
	}
	return "", fmt.Errorf("a %s is not known here", a.Type)
}

var member = regexp.MustCompile(`^\??\.(\w+)`)

var inText = regexp.MustCompile(`@\{[^}]*\}`)

// filled puts values in the place of expressions.
func (r *run) filled(v any) (any, error) {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for key, value := range v {
			if key == "columns" { // of a table: for each row, which is not drawn here
				continue
			}
			f, err := r.filled(value)
			if err != nil {
				return nil, err
			}
			out[key] = f
		}
		return out, nil
	case []any:
		out := []any{}
		for _, value := range v {
			f, err := r.filled(value)
			if err != nil {
				return nil, err
			}
			out = append(out, f)
		}
		return out, nil
	case string:
		if expression, ok := strings.CutPrefix(v, "@"); ok && !strings.HasPrefix(v, "@{") {
			return r.value(expression)
		}
		var failed error
		text := inText.ReplaceAllStringFunc(v, func(m string) string {
			value, err := r.value(m[2 : len(m)-1])
			failed = errors.Join(failed, err)
			return asText(value)
		})
		return text, failed
	}
	return v, nil
}

func asText(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	}
	text, _ := json.Marshal(v) // what was read as JSON can be written
	return string(text)
}

var token = regexp.MustCompile(`^\s*(?:('(?:[^']|'')*')|(\d+)|([A-Za-z]\w*)|(.))`)

// value evaluates an expression.
func (r *run) value(text string) (any, error) {
	p := &expression{run: r, rest: text}
	v, err := p.parse()
	if err == nil && strings.TrimSpace(p.rest) != "" {
		err = fmt.Errorf("%q follows", p.rest)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", text, err)
	}
	return v, nil
}

type expression struct {
	run  *run
	rest string
}

// next takes a token: its kind is the index of the group that it is.
func (p *expression) next() (string, int) {
	m := token.FindStringSubmatch(p.rest)
	if m == nil {
		return "", 0
	}
	p.rest = p.rest[len(m[0]):]
	for kind := 1; kind < len(m); kind++ {
		if m[kind] != "" {
			return m[kind], kind
		}
	}
	return "", 0
}

func (p *expression) parse() (any, error) {
	t, kind := p.next()
	var v any
	switch {
	case kind == 1:
		v = strings.ReplaceAll(t[1:len(t)-1], "''", "'")
	case kind == 2:
		v = json.Number(t)
		if n, err := v.(json.Number).Float64(); err == nil {
			v = n
		}
	case kind == 3 && t == "null":
	case kind == 3:
		if open, _ := p.next(); open != "(" {
			return nil, fmt.Errorf("%s is not called", t)
		}
		var args []any
		for !strings.HasPrefix(strings.TrimSpace(p.rest), ")") {
			arg, err := p.parse()
			if err != nil {
				return nil, err
			}
			args = append(args, arg)
			if strings.HasPrefix(strings.TrimSpace(p.rest), ",") {
				p.next()
			}
		}
		p.next()
		var err error
		if v, err = p.run.call(t, args); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("%q is not understood", t)
	}
	p.rest = member.ReplaceAllString(p.rest, "?['${1}']")
	for strings.HasPrefix(p.rest, "?[") || strings.HasPrefix(p.rest, "[") {
		optional := strings.HasPrefix(p.rest, "?")
		p.rest = strings.TrimPrefix(strings.TrimPrefix(p.rest, "?"), "[")
		key, err := p.parse()
		if err != nil {
			return nil, err
		}
		p.next()
		object, ok := v.(map[string]any)
		if !ok && (v != nil || !optional) {
			return nil, fmt.Errorf("%v has no %v", v, key)
		}
		v = object[asText(key)]
		p.rest = member.ReplaceAllString(p.rest, "?['${1}']")
	}
	return v, nil
}

// call is the functions of expressions.
func (r *run) call(name string, args []any) (any, error) {
	texts := func() (out []string) {
		for _, a := range args {
			out = append(out, asText(a))
		}
		return out
	}
	switch name {
	case "triggerBody":
		return r.trigger, nil
	case "body", "outputs":
		out := r.outputs[args[0].(string)]
		if object, ok := out.(map[string]any); ok && name == "body" {
			return object["body"], nil
		}
		return out, nil
	case "parameters":
		if args[0] == "$connections" {
			return map[string]any{"teams": map[string]any{}, "office365": map[string]any{}}, nil
		}
		return args[0], nil
	case "workflow":
		return map[string]any{"run": map[string]any{"name": "run-1"}}, nil
	case "listCallbackUrl":
		return "callback", nil
	case "coalesce":
		for _, a := range args {
			if a != nil {
				return a, nil
			}
		}
		return nil, nil
	case "if":
		if args[0] == true {
			return args[1], nil
		}
		return args[2], nil
	case "equals":
		return asText(args[0]) == asText(args[1]) && (args[0] == nil) == (args[1] == nil), nil
	case "not":
		return args[0] != true, nil
	case "concat":
		return strings.Join(texts(), ""), nil
	case "string", "encodeURIComponent":
		return asText(args[0]), nil
	case "split":
		var out []any
		for _, part := range strings.Split(args[0].(string), args[1].(string)) {
			out = append(out, part)
		}
		return out, nil
	case "last":
		list := args[0].([]any)
		return list[len(list)-1], nil
	case "join":
		list := args[0].([]any)
		var parts []string
		for _, v := range list {
			parts = append(parts, asText(v))
		}
		return strings.Join(parts, asText(args[1])), nil
	case "length":
		return float64(len(args[0].([]any))), nil
	case "empty":
		list, _ := args[0].([]any)
		return len(list) == 0, nil
	case "div":
		return float64(int(args[0].(float64)) / int(args[1].(float64))), nil
	case "json":
		var v any
		err := json.Unmarshal([]byte(args[0].(string)), &v)
		return v, err
	}
	return nil, fmt.Errorf("the function %s is not known here", name)
}

// runs runs a workflow of logic-apps/ to the status that it has to end with.
func runs(t *testing.T, file, want string, trigger any, answer func(string, int) (string, any)) *run {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var w workflow
	if err := json.Unmarshal(text, &w); err != nil {
		t.Fatal(err)
	}
	r := &run{t: t, trigger: trigger, answer: answer, calls: map[string]int{}, status: map[string]string{}, outputs: map[string]any{}}
	status, err := r.scope(w.Definition.Actions)
	if err != nil || status != want {
		t.Fatalf("the run: %s %v, want %s", status, err, want)
	}
	return r
}

func object(t *testing.T, text string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// TestApprovalTellsTheOutcome: whatever comes of it, one card follows the question, and it says what is the case at the end.
func TestApprovalTellsTheOutcome(t *testing.T) {
	const yes, no = `{"data":{"decision":"approve"},"responder":{"displayName":"Ada"}}`, `{"data":{"decision":"refuse"},"responder":{"displayName":"Ada"}}`
	const slow = `{"id":"r1","status":"Initiating","endTimeUtc":"13:00"}`
	for _, row := range []struct {
		name                 string
		ask, asked           string // how the question ended, and the answer
		request, answered    string
		looks                []string // what each look at the request sees; the last one again and again
		calls                int      // of Portcullis
		has, hasNot, andSays string
	}{
		{"nobody answers", "TimedOut", `null`, "", "", nil, 0, "not approved, nothing is opened", "Approved", "Nobody answered"},
		{"it is refused", "Succeeded", no, "", "", nil, 0, "refused, nothing is opened", "Approved", "Refused by Ada"},
		{"Portcullis refuses", "Succeeded", yes, "Failed", `{"error":{"code":"Forbidden","message":"you lack X"}}`, nil, 1, "not opened. you lack X", "until", "Approved by Ada"},
		{"Portcullis does not answer", "Succeeded", yes, "TimedOut", `null`, nil, 1, "not opened. Portcullis did not answer", "until", "Approved by Ada"},
		{"it opens at once", "Succeeded", yes, "Succeeded", `{"id":"r1","status":"Initiated","endTimeUtc":"13:00"}`, nil, 1, "open until 13:00", "not opened", "Approved by Ada"},
		{"it opens behind a firewall", "Succeeded", yes, "Succeeded", slow, []string{slow, slow, `{"id":"r1","status":"Initiated","endTimeUtc":"13:05"}`}, 4, "open until 13:05", "not", "Approved by Ada"},
		{"it fails behind a firewall", "Succeeded", yes, "Succeeded", slow, []string{slow, `{"id":"r1","status":"Revoked","statusReason":"OpeningFailed","endTimeUtc":"13:00"}`}, 3, "not opened. OpeningFailed", "until", "Approved by Ada"},
		{"it takes too long", "Succeeded", yes, "Succeeded", slow, []string{slow}, 61, "not known yet whether it opens; look at request r1", "until", "Approved by Ada"},
		{"nobody answers the looks", "Succeeded", yes, "Succeeded", slow, []string{""}, 61, "not known yet whether it opens; look at request r1", "until", "Approved by Ada"},
	} {
		t.Run(row.name, func(t *testing.T) {
			ends := "Succeeded"
			if row.ask != "Succeeded" {
				ends = "Failed"
			}
			r := runs(t, "logic-apps/approve-and-request.json", ends, object(t, `{"virtualMachine":"/x/web","port":22,"duration":"PT1H","source":"203.0.113.7","requestedBy":"bob","justification":"logs"}`), func(name string, times int) (string, any) {
				switch name {
				case "Ask":
					return row.ask, object(t, row.asked)
				case "Request":
					return row.request, object(t, row.answered)
				}
				if look := row.looks[min(times, len(row.looks))-1]; look != "" {
					return "Succeeded", object(t, look)
				}
				return "Failed", nil
			})
			if got := r.calls["Request"] + r.calls["Look"]; got != row.calls {
				t.Errorf("%d calls of the app, want %d", got, row.calls)
			}
			if len(r.posted) != 1 {
				t.Fatalf("posted %v", r.posted)
			}
			card := r.posted[0]["messageBody"].(string)
			if !strings.Contains(card, "Port 22 of web: ") || !strings.Contains(card, row.has) || !strings.Contains(card, row.andSays) || strings.Contains(card, row.hasNot) {
				t.Errorf("the card is %s", card)
			}
		})
	}
}

// TestReportTellsItsAge: the mail tells nobody has looked from nothing found, how old what was found is, and warns.
func TestReportTellsItsAge(t *testing.T) {
	for _, row := range []struct{ name, status, answer, subject, importance, body string }{
		{"nobody has looked", "Succeeded", `{"findings":null,"ageSeconds":null,"warnings":["no sweep yet"],"targets":null}`, "Portcullis: nobody has looked", "High", "No sweep has come to everything yet."},
		{"nothing is found", "Succeeded", `{"findings":[],"ageSeconds":90,"warnings":[],"targets":3,"targetsChanged":0,"requestsClosed":0}`, "Portcullis: 0 findings", "Normal", "ended 1 minutes ago."},
		{"what is found is old", "Succeeded", `{"findings":[{}],"ageSeconds":7200,"warnings":["too old","broken off"],"targets":3}`, "Portcullis: 1 findings, and there may be more", "High", "ended 120 minutes ago. <strong>WARNING: there may be more than is listed: too old; broken off."},
		{"counts are not for the workflow", "Succeeded", `{"findings":[],"ageSeconds":0,"warnings":[],"targets":null}`, "Portcullis: 0 findings", "Normal", "looked at an unknown number of"},
		{"no answer", "TimedOut", `null`, "Portcullis: no report", "High", "Nobody has looked"},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := runs(t, "logic-apps/compliance-report.json", map[bool]string{true: "Succeeded", false: "Failed"}[row.status == "Succeeded"], nil, func(string, int) (string, any) { return row.status, object(t, row.answer) })
			if len(r.posted) != 1 {
				t.Fatalf("posted %v", r.posted)
			}
			if mail := r.posted[0]; mail["Subject"] != row.subject || mail["Importance"] != row.importance || !strings.Contains(mail["Body"].(string), row.body) {
				t.Errorf("the mail is %v", mail)
			}
		})
	}
}
