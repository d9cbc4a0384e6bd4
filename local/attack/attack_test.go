package attack

import (
	"cmp"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// attack is one row of the table: what is sent, in whose name, and what must hold of it. Whatever a row says, it must hold as
// well that no rule of any security group or firewall has changed, that the handler still runs, and [clean] of every answer.
type attack struct {
	letter string // of the kind of attack, from docs/threat-model.md
	name   string
	as     string // of people; "" sends no token
	method string // POST where it is empty
	path   string
	header http.Header // beside the token
	body   string
	times  int // how often it is sent; once where it is 0

	status int
	code   string // of the error; "" for any or none
	target string // of the error; "" for any
	reads  int    // of Resource Manager, at most, all times together
	rows   int    // written to Table Storage, at most, all times together
	table  int    // requests to it, at most, all times together; 0 for [fewRequests] each time

	// also is what else must hold of the last answer. It comes after the counts, and may send more.
	also func(*testing.T, *stack, reply)
	// do, where it is set, stands in place of what is sent and of the answer that must come; the counts are of all of it.
	do func(*testing.T, *stack, *figures)
	// figure, where it is set, is how the table at the end calls it, and before what the attack on commit 9601b60 had found.
	figure, before string
}

// fewRequests is how many requests to Table Storage a call may cause, its line in the log included, whatever it names.
const fewRequests = 12

// renewed is how many reads a call may cost since what was known of its caller's roles is a minute old.
const renewed = 6

// line is how many rows a line of the log is: the entry, the head of its chain, and its place in the list of chains.
const line = 3

// usual is how Resource Manager behaves here: as in the demo, but that a write is done at once.
const usual = `{"writes":{"answer":"succeeded"},"throttleNetwork":true}`

// TestAttacks brings the stack up once and sends the rows one after the other, so that what each costs can be counted.
func TestAttacks(t *testing.T) {
	began := time.Now()
	s := newStack(t)
	stood := time.Now()
	s.knobs(usual)
	s.meet()
	s.protect(t)
	s.idle = s.memory()
	slow, later := s.slowly(t), s.promoted(t)
	f := &figures{}
	for _, rows := range [][]attack{bounds(), logged(), quotas(), sources(), strangers(), one(), identities(), flags(), texts(), tokens(), weak(), second(), paths(), bodies(), page(), crowds()} {
		for _, a := range rows {
			t.Run(a.letter+" "+a.name, func(t *testing.T) {
				whole := s.t
				s.t = t
				defer func() { s.t = whole }()
				a.send(t, s, f)
			})
		}
	}
	t.Run("J slow clients", func(t *testing.T) { slow(t, f) })
	t.Run("J a right that was just given", later)
	t.Logf("built and started in %s, attacked for %s\n%s", stood.Sub(began).Round(100*time.Millisecond), time.Since(stood).Round(100*time.Millisecond), f)
}

// protect closes the ports of the machines, so that there is something to open. What an attack enables or opens it has to close itself.
func (s *stack) protect(t *testing.T) {
	t.Helper()
	s.must(200, "admin", "POST", "/api/enable", named(web, app1, app2))
	s.await(t)
	s.window = s.opened(t, "admin", asking(app1, 3389, hiddenWhy, hiddenSource))
	s.standing = s.rules()
}

// send sends a row and holds what it says.
func (a attack) send(t *testing.T, s *stack, f *figures) {
	memory, before := s.memory(), s.counts()
	began := time.Now()
	var last reply
	if a.do != nil {
		a.do(t, s, f)
	} else {
		header := s.as(a.as)
		for name, values := range a.header {
			header[name] = values
		}
		for range max(a.times, 1) {
			last = s.do(s.app, cmp.Or(a.method, "POST"), s.known(a.path), header, s.known(a.body))
			if code, target := last.code(); last.status != a.status || a.code != "" && code != a.code || a.target != "" && target != a.target {
				t.Errorf("answered %d %s at %.200q, want %d %s at %q: %.600s", last.status, code, target, a.status, a.code, a.target, last.text)
			}
			clean(t, last)
		}
	}
	took := time.Since(began)
	cost := s.counts().minus(before)
	most := a.reads
	if a.letter != "B" && a.letter != "D" { // which come before anybody is asked what the caller may
		most += renewed
	}
	if cost.reads > most {
		t.Errorf("it cost %d reads of Resource Manager, at most %d were to be", cost.reads, most)
	}
	if cost.rows > a.rows {
		t.Errorf("it wrote %d rows of Table Storage, at most %d were to be", cost.rows, a.rows)
	}
	if most := cmp.Or(a.table, fewRequests*max(a.times, 1)); cost.table > most && a.do == nil {
		t.Errorf("it cost %d requests to Table Storage, at most %d were to be", cost.table, most)
	}
	if cost.writes != 0 && a.do == nil {
		t.Errorf("it cost %d writes of Resource Manager", cost.writes)
	}
	if a.figure != "" {
		f.add(a, cost, took, memory, s.memory())
	}
	if a.also != nil {
		a.also(t, s, last)
	}
	if after := s.rules(); after != s.standing {
		t.Errorf("rules have changed:\n%s", differing(s.standing, after))
		s.must(200, "admin", "POST", "/api/enable", named(web, app1, app2)) // the other rows begin with what they need
		s.must(200, "admin", "POST", "/api/enable", decided)
		s.standing = s.rules()
	}
	if pid := handler(s.cmd.Process.Pid); pid != s.pid {
		t.Errorf("the handler is another process, %d in place of %d: it ended", pid, s.pid)
	}
}

// differing gives what of two long texts differs, with some of what stands around it.
func differing(a, b string) string {
	from := 0
	for from < min(len(a), len(b)) && a[from] == b[from] {
		from++
	}
	cut := func(s string) string { return s[min(len(s), max(0, from-200)):min(len(s), from+600)] }
	return "-" + cut(a) + "\n+" + cut(b)
}

var guid = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

// inside is what no answer may hold: marks of the program's inside, and tokens.
var inside = []string{"goroutine ", "runtime error", ".go:", "panic:", "portcullis/core", "portcullis/infra", "portcullis/handlers", "Bearer ey", "eyJhbGciOi", "devaccount", "/local/token", "IDENTITY_HEADER"}

// clean holds what must hold of every answer of the app, whoever asks for whatever.
func clean(t *testing.T, r reply) {
	t.Helper()
	if r.status >= 500 && r.status != http.StatusServiceUnavailable {
		t.Errorf("answered %d: %.600s", r.status, r.text)
	}
	for _, mark := range inside {
		if at := strings.Index(r.text, mark); at >= 0 {
			t.Errorf("the answer holds %q: %.300s", mark, r.text[max(0, at-100):])
		}
	}
	for name := range r.header {
		if strings.HasPrefix(name, "Access-Control-") || name == "Set-Cookie" || name == "X-Powered-By" {
			t.Errorf("the answer has the header %s: %s", name, r.header.Get(name))
		}
	}
	id := r.header.Get("X-Ms-Request-Id")
	if id == "" && (r.status == 404 && r.text == "" || r.status == 405 || r.status == 400 && r.text == "" || r.status == 431 || r.status == 414) {
		return // the host's own answer: the call did not reach the app
	}
	if !guid.MatchString(id) {
		t.Errorf("x-ms-request-id is %q: %d %.200s", id, r.status, r.text)
	}
	for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Strict-Transport-Security": "max-age="} {
		if got := r.header.Get(name); !strings.HasPrefix(got, want) {
			t.Errorf("%s is %q, want %s", name, got, want)
		}
	}
	if r.header.Get("Cache-Control") == "" {
		t.Error("the answer says nothing of caches")
	}
	if kind := r.header.Get("Content-Type"); r.text != "" && !slices.ContainsFunc([]string{"application/json", "text/html", "text/css", "text/javascript", "text/csv", "text/plain", "application/x-ndjson", "application/jsonl", "image/svg+xml"}, func(known string) bool { return strings.HasPrefix(kind, known) }) {
		t.Errorf("the answer is of the type %q", kind)
	}
}

// named is the body that names machines.
func named(ids ...string) string {
	return `{"virtualMachines":` + many(len(ids), func(i int) string { return `{"id":"` + ids[i] + `"}` }) + `}`
}

// asking is the body of a request for one port of one machine from some sources, for half an hour.
func asking(vm string, port int, why string, sources ...string) string {
	return fmt.Sprintf(`{"virtualMachines":[{"id":%s,"ports":[{"number":%d,"duration":"PT30M","allowedSourceAddressPrefixes":%s}]}],"justification":%s}`,
		quoted(vm), port, many(len(sources), func(i int) string { return quoted(sources[i]) }), quoted(why))
}

// quoted writes a text as JSON has it, control characters escaped.
func quoted(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range text {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		case c < ' ':
			fmt.Fprintf(&b, `\u%04x`, c)
		default:
			b.WriteRune(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// many writes n elements as an array, each by its number.
func many(n int, element func(i int) string) string {
	out := make([]string, n)
	for i := range n {
		out[i] = element(i)
	}
	return "[" + strings.Join(out, ",") + "]"
}

// opened opens a window and closes it with the row; gives the id of the request.
func (s *stack) opened(t *testing.T, who, body string) string {
	t.Helper()
	id, _ := s.must(200, who, "POST", "/api/request", body).object()["id"].(string)
	if id == "" {
		t.Fatal("a request has no id")
	}
	return id
}

// closed closes windows.
func (s *stack) closed(who string, ids ...string) {
	s.t.Helper()
	for _, id := range ids {
		s.must(200, who, "POST", "/api/requests/"+id+"/revoke", "")
	}
}
