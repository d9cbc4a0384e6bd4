package attack

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

const (
	sub      = "00000000-0000-0000-0000-00000000d3e0"
	tenant   = "00000000-0000-0000-0000-00000000d1d0"
	group    = "/subscriptions/" + sub + "/resourceGroups/demo"
	machines = group + "/providers/Microsoft.Compute/virtualMachines/"
	web      = machines + "web"
	app1     = machines + "app1" // shares a security group with app2
	app2     = machines + "app2"
	policies = "/api" + group + "/providers/Microsoft.Security/locations/westeurope/jitNetworkAccessPolicies"
	version  = "?api-version=2020-01-01"
)

// person is somebody who has a token: a persona of the stand-in, with claims of his own.
type person struct {
	persona string
	claims  map[string]any
	role    string // the name of a role definition that he holds
	scope   string // and where
}

// somebody is a person of the tenant who is none of the personas.
func somebody(n int, name string) map[string]any {
	id := fmt.Sprintf("00000000-0000-4000-8000-%012d", n)
	return map[string]any{"oid": id, "sub": id, "name": name, "preferred_username": name + "@portcullis.example"}
}

// having adds app roles to claims.
func having(claims map[string]any, roles ...string) map[string]any {
	claims["roles"] = roles
	return claims
}

// application makes the claims of a person those of an application.
func application(claims map[string]any) map[string]any {
	claims["idtyp"], claims["scp"] = "app", nil
	return claims
}

const (
	readerRole    = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
	requesterRole = "00000000-0000-0000-0000-0000000000d1"
)

// people are who attacks. What a token of another kind says stands in the rows about tokens.
func people() map[string]person {
	return map[string]person{
		"admin":     {persona: "admin"},
		"requester": {persona: "requester"},
		"reader":    {persona: "reader"},
		"nobody":    {persona: "reader", claims: somebody(1, "nobody")},
		"reader2":   {persona: "reader", claims: somebody(2, "reader-of-app2"), role: readerRole, scope: app2},
		"asker2":    {persona: "reader", claims: somebody(3, "requester-of-app2"), role: requesterRole, scope: app2},
		"late":      {persona: "reader", claims: somebody(4, "late")}, // see promoted
		"approver":  {persona: "approver"},
		"waiter":    {persona: "reader", claims: somebody(5, "waiter"), role: requesterRole, scope: web}, // see await
		"poser":     {persona: "reader", claims: having(somebody(6, "approver-of-nothing"), "Portcullis.Approver")},
		"looker":    {persona: "reader", claims: having(somebody(7, "looker"), "portcullis.approver", "Approver", "Portcullis.Approver "), role: readerRole, scope: web},
		"robot":     {persona: "reader", claims: application(having(somebody(8, "robot"), "Portcullis.Approver")), role: readerRole, scope: web},
	}
}

// give gives somebody a role.
func (s *stack) give(who any, role, scope string) {
	s.t.Helper()
	s.given++
	body := fmt.Sprintf(`{"properties":{"roleDefinitionId":"/subscriptions/%s/providers/Microsoft.Authorization/roleDefinitions/%s","principalId":%q,"principalType":"User"}}`, sub, role, who)
	at := fmt.Sprintf("%s/providers/Microsoft.Authorization/roleAssignments/%08d-0000-4000-8000-000000000000?api-version=2022-04-01", scope, s.given)
	if r := s.do(s.arm, "PUT", at, s.operator(), body); r.status != 201 {
		s.t.Fatalf("give a role: %d %s", r.status, r.text)
	}
}

// token gives a token of a persona with claims of one's own.
func (s *stack) token(persona, resource string, claims map[string]any) string {
	s.t.Helper()
	body, err := json.Marshal(claims)
	if err != nil {
		s.t.Fatal(err)
	}
	r := s.do(s.arm, "POST", "/local/token?as="+persona+"&resource="+url.QueryEscape(resource), nil, string(body))
	var got struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(r.text), &got); r.status != 200 || err != nil {
		s.t.Fatalf("a token for %s: %d %s", persona, r.status, r.text)
	}
	return got.Token
}

// meet gets everybody's tokens, which are good for longer than the suite runs, and gives them their roles.
func (s *stack) meet() {
	s.t.Helper()
	s.tokens = map[string]string{"operator": s.token("admin", "https://management.azure.com", nil)}
	for who, p := range people() {
		s.tokens[who] = s.token(p.persona, "", p.claims)
		if p.role != "" {
			s.give(p.claims["oid"], p.role, p.scope)
		}
	}
}

// as gives the header of somebody; "" sends none.
func (s *stack) as(who string) http.Header {
	s.t.Helper()
	if who == "" {
		return http.Header{}
	}
	if s.tokens[who] == "" {
		s.t.Fatalf("nobody is called %q", who)
	}
	return http.Header{"Authorization": {"Bearer " + s.tokens[who]}}
}

// operator is the header of somebody who looks at Resource Manager itself, whose calls are not the app's.
func (s *stack) operator() http.Header { return s.as("operator") }

// reply is what came back.
type reply struct {
	status int
	header http.Header
	text   string
	took   time.Duration
}

// object gives the body as JSON; nil where it is none.
func (r reply) object() map[string]any {
	var out map[string]any
	_ = json.Unmarshal([]byte(r.text), &out) // what is no object is nil
	return out
}

// code gives the code and the target of an error.
func (r reply) code() (code, target string) {
	e, _ := r.object()["error"].(map[string]any)
	code, _ = e["code"].(string)
	target, _ = e["target"].(string)
	return code, target
}

// list gives the elements of a list.
func (r reply) list() []map[string]any {
	var out []map[string]any
	all, _ := r.object()["value"].([]any)
	for _, v := range all {
		if o, ok := v.(map[string]any); ok {
			out = append(out, o)
		}
	}
	return out
}

// client follows no redirect and keeps no cookie.
var client = &http.Client{
	Timeout:       3 * time.Minute,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Transport:     &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true},
}

// do sends one call as it is written: the path is not cleaned.
func (s *stack) do(base, method, path string, header http.Header, body string) reply {
	s.t.Helper()
	r, err := try(s.t.Context(), base, method, path, header, body)
	if err != nil {
		s.t.Fatalf("%s %.200s: %v", method, path, err)
	}
	return r
}

func try(ctx context.Context, base, method, path string, header http.Header, body string) (reply, error) {
	var in io.Reader
	if body != "" {
		in = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, base+"/", in)
	if err != nil {
		return reply{}, err
	}
	bare, query, _ := strings.Cut(path, "?")
	req.URL.Opaque, req.URL.RawQuery = bare, query
	for name, values := range header {
		req.Header[name] = slices.Clone(values)
		if name == "Host" {
			req.Host = values[0]
		}
	}
	began := time.Now()
	res, err := client.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return reply{res.StatusCode, res.Header, string(text), time.Since(began)}, err
}

// call sends one call to the front door in somebody's name.
func (s *stack) call(who, method, path, body string) reply {
	s.t.Helper()
	return s.do(s.app, method, path, s.as(who), body)
}

// must is call, of which the status is known.
func (s *stack) must(status int, who, method, path, body string) reply {
	s.t.Helper()
	r := s.call(who, method, path, body)
	if r.status != status {
		s.t.Fatalf("%s %s by %s: %d, want %d: %.600s", method, path, who, r.status, status, r.text)
	}
	return r
}

// raw sends bytes over a connection of its own and gives the first line of the answer; "" for none.
func (s *stack) raw(text string) string {
	s.t.Helper()
	conn, err := net.Dial("tcp", s.door)
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		s.t.Fatal(err)
	}
	if _, err := io.WriteString(conn, text); err != nil {
		return "" // it was cut off while it was sent
	}
	var out bytes.Buffer
	_, _ = io.Copy(&out, io.LimitReader(conn, 4096)) // the other side may cut it off
	line, _, _ := strings.Cut(out.String(), "\r\n")
	return line
}

// counts is what the app asked of the stand-ins so far.
type counts struct {
	reads  int // GETs and lists of Resource Manager, polls included
	writes int // PUTs and DELETEs of it
	table  int // requests to Table Storage
	rows   int // written to it, or deleted
}

func (s *stack) counts() counts {
	s.t.Helper()
	arm, table := s.do(s.arm, "GET", "/local/counts", nil, ""), s.do(s.table, "GET", "/local/counts", nil, "")
	var a struct{ Reads, Writes, Deletes, Polls int }
	var b struct {
		EntitiesWritten int
		Operations      map[string]int
	}
	if json.Unmarshal([]byte(arm.text), &a) != nil || json.Unmarshal([]byte(table.text), &b) != nil || arm.status != 200 || table.status != 200 {
		s.t.Fatalf("the stand-ins do not count: %s %s", arm.text, table.text)
	}
	out := counts{reads: a.Reads + a.Polls, writes: a.Writes + a.Deletes, rows: b.EntitiesWritten}
	for _, n := range b.Operations {
		out.table += n
	}
	return out
}

func (c counts) minus(o counts) counts {
	return counts{c.reads - o.reads, c.writes - o.writes, c.table - o.table, c.rows - o.rows}
}

// changing is what Resource Manager changes with every write of a group.
var changing = regexp.MustCompile(`"(?:etag|provisioningState)":"(?:[^"\\]|\\.)*",?`)

// rules gives all security groups and firewalls as Resource Manager has them, and is no call of the app's.
func (s *stack) rules() string {
	s.t.Helper()
	out := ""
	for _, kind := range []string{"networkSecurityGroups", "azureFirewalls"} {
		r := s.do(s.arm, "GET", "/subscriptions/"+sub+"/providers/Microsoft.Network/"+kind+"?api-version=2025-05-01", s.operator(), "")
		if r.status != 200 {
			s.t.Fatalf("list %s: %d %s", kind, r.status, r.text)
		}
		out += changing.ReplaceAllString(r.text, "")
	}
	return out
}

// knobs turns the knobs of Resource Manager.
func (s *stack) knobs(body string) {
	s.t.Helper()
	if r := s.do(s.arm, "PUT", "/local/knobs", nil, body); r.status != 200 {
		s.t.Fatalf("knobs: %d %s", r.status, r.text)
	}
}
