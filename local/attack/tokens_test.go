package attack

import (
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// kinds are tokens that the stand-in of Entra ID signs and that must get nobody in: what they say beside an admin's access token. nil leaves a claim out.
func kinds() map[string]map[string]any {
	now := time.Now().Unix()
	return map[string]map[string]any{
		"an ID token":                                  {"scp": nil, "azp": nil, "nonce": "n"},
		"an ID token without a nonce":                  {"scp": nil, "azp": nil},
		"an ID token that has a scope":                 {"nonce": "n"},
		"no scope":                                     {"scp": nil},
		"an empty scope":                               {"scp": ""},
		"no client":                                    {"azp": nil},
		"bound to a key":                               {"cnf": map[string]any{"kid": "x"}},
		"a logout token":                               {"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}, "sid": "s"},
		"another tenant":                               {"tid": "11111111-1111-4111-8111-111111111111"},
		"another issuer":                               {"iss": "https://login.microsoftonline.com/" + tenant + "/v2.0"},
		"another issuer that begins alike":             {"iss": "http://127.0.0.1/" + tenant + "/v2.0"},
		"for Resource Manager":                         {"aud": "https://management.azure.com"},
		"for an audience that begins alike":            {"aud": "api://portcullis-local.evil.example"},
		"for an audience in another case":              {"aud": "API://PORTCULLIS-LOCAL"},
		"for two audiences":                            {"aud": []string{"api://portcullis-local", "https://management.azure.com"}},
		"for nobody":                                   {"aud": nil},
		"expired":                                      {"exp": now - 600, "nbf": now - 4200, "iat": now - 4200},
		"not valid yet":                                {"nbf": now + 600, "iat": now + 600},
		"without an end":                               {"exp": nil},
		"with an end that is a text":                   {"exp": fmt.Sprint(now + 3600)},
		"without a subject":                            {"oid": nil},
		"of a subject that is no GUID":                 {"oid": "admin"},
		"of a subject with a filter in it":             {"oid": "00000000-0000-0000-0000-0000000000e3' or 1 eq 1"},
		"of an application that names a person's role": {"idtyp": "app", "scp": "user_impersonation"},
		"of a device":                                  {"idtyp": "device"},
	}
}

// tokens is the first part of J: only an access token of a person or an application, for this app, gets anybody in.
func tokens() []attack {
	var rows []attack
	for name, claims := range kinds() {
		rows = append(rows, attack{letter: "J", name: "a token: " + name, do: func(t *testing.T, s *stack, _ *figures) {
			unidentified(t, s, http.Header{"Authorization": {"Bearer " + s.token("admin", "", claims)}})
		}})
	}
	encode := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	for name, change := range map[string]func(token string) http.Header{
		"without a signature": func(token string) http.Header {
			return http.Header{"Authorization": {"Bearer " + token[:strings.LastIndexByte(token, '.')+1]}}
		},
		"by no algorithm": func(token string) http.Header {
			return http.Header{"Authorization": {"Bearer " + encode(`{"alg":"none","typ":"JWT"}`) + "." + strings.Split(token, ".")[1] + "."}}
		},
		"with another body": func(token string) http.Header {
			p := strings.Split(token, ".")
			return http.Header{"Authorization": {"Bearer " + p[0] + "." + encode(`{"oid":"00000000-0000-0000-0000-0000000000e3"}`) + "." + p[2]}}
		},
		"as a password": func(token string) http.Header {
			return http.Header{"Authorization": {"Basic " + encode("admin:"+token)}}
		},
		"without its scheme": func(token string) http.Header { return http.Header{"Authorization": {token}} },
		"twice": func(token string) http.Header {
			return http.Header{"Authorization": {"Bearer " + token, "Bearer " + token}}
		},
		"twice in one line": func(token string) http.Header {
			return http.Header{"Authorization": {"Bearer " + token + ", Bearer " + token}}
		},
		"of 20 KB": func(token string) http.Header {
			return http.Header{"Authorization": {"Bearer " + token + strings.Repeat("A", 20_000)}}
		},
		"in the place of an ID token": func(token string) http.Header { return http.Header{"X-Ms-Token-Aad-Id-Token": {token}} },
		"in another header": func(token string) http.Header {
			return http.Header{"X-Ms-Token-Aad-Access-Token": {token}, "X-Access-Token": {token}, "X_Ms_Token_Aad_Id_Token": {token}}
		},
		"in a cookie": func(token string) http.Header {
			return http.Header{"Cookie": {"AppServiceAuthSession=" + token + "; access_token=" + token}}
		},
	} {
		rows = append(rows, attack{letter: "J", name: "an admin's token " + name, do: func(t *testing.T, s *stack, _ *figures) { unidentified(t, s, change(s.tokens["admin"])) }})
	}
	return append(rows,
		attack{letter: "J", name: "a token in the query", method: "GET", path: "/api/machines?access_token=x", status: 401, code: "Unauthenticated"},
		attack{letter: "J", name: "the platform's headers, forged", do: func(t *testing.T, s *stack, _ *figures) { unidentified(t, s, principals()) }},
	)
}

// principals are the headers by which the platform tells who is signed in, saying that it is the admin.
func principals() http.Header {
	principal := base64.StdEncoding.EncodeToString([]byte(`{"auth_typ":"aad","claims":[{"typ":"http://schemas.microsoft.com/identity/claims/objectidentifier","val":"00000000-0000-0000-0000-0000000000e3"}],"name_typ":"name","role_typ":"roles"}`))
	return http.Header{"X-Ms-Client-Principal": {principal}, "X-Ms-Client-Principal-Id": {"00000000-0000-0000-0000-0000000000e3"}, "X-Ms-Client-Principal-Name": {"admin@portcullis.example"}, "X-Ms-Client-Principal-Idp": {"aad"},
		"X_ms_client_principal": {principal}, "X-Forwarded-User": {"admin@portcullis.example"}, "X-Remote-User": {"admin"}, "X-Ms-Auth-Internal-Token": {principal}}
}

// unidentified holds that nobody gets in by the header, to look or to change.
func unidentified(t *testing.T, s *stack, header http.Header) {
	t.Helper()
	for _, c := range []struct{ method, path, body string }{{"GET", "/api/machines", ""}, {"POST", "/api/disable", named(web)}} {
		r := s.do(s.app, c.method, c.path, header, c.body)
		if code, _ := r.code(); r.status != 401 || code != "Unauthenticated" {
			t.Errorf("%s %s: %d %.300s", c.method, c.path, r.status, r.text)
		}
		clean(t, r)
	}
}

// weak is the rest of J.
func weak() []attack {
	const made = "203.0.113.99"
	around := func(names ...string) http.Header {
		h := http.Header{}
		for _, name := range names {
			h[name] = []string{made}
		}
		return h
	}
	own := strings.Replace(asking(web, 22, "from my own address"), `"allowedSourceAddressPrefixes":[]`, `"number":22`, 1)
	own = strings.Replace(own, `,"number":22`, "", 1)
	rows := []attack{
		{letter: "J", name: "health, to a stranger", method: "GET", path: "/api/health", status: 200, reads: 4, also: func(t *testing.T, _ *stack, r reply) {
			if got := strings.TrimSpace(r.text); got != `{"status":"ok"}` {
				t.Errorf("a stranger learns %s", got)
			}
		}},
		{letter: "J", name: "health, of what is not known", as: "nobody", method: "GET", path: "/api/health", status: 200, reads: 4, also: func(t *testing.T, _ *stack, r reply) {
			o := r.object()
			why, _ := o["unknown"].(map[string]any)
			for of, known := range map[string]bool{"lastSweepAgeSeconds": o["lastSweepEndedAt"] != nil, "oldestOverdueClosingSeconds": o["oldestOverdueClosingSeconds"] != nil} {
				if value, told := o[of]; !told || known != (value != nil) || known != (why[of] == nil) {
					t.Errorf("of %s, which is known: %t, health says %s", of, known, r.text)
				}
			}
		}},
		{letter: "J", name: "an idempotent retry while Resource Manager is down", rows: 60, reads: 60, do: retried},
		{letter: "J", name: "a caller's address by headers of proxies", as: "requester", path: "/api/request?dryRun=true", body: own, status: 200, reads: 30, table: 40,
			header: around("X-Forwarded-For", "Forwarded", "X-Real-Ip", "Client-Ip", "X-Client-Ip", "X-Azure-Clientip", "X-Azure-Socketip", "True-Client-Ip", "Cf-Connecting-Ip", "X-Original-Forwarded-For"),
			also: func(t *testing.T, _ *stack, r reply) {
				if strings.Contains(r.text, made) || !strings.Contains(r.text, "127.0.0.1") {
					t.Errorf("the port would open for %.600s", r.text)
				}
			}},
		{letter: "J", name: "a next page on another host", as: "admin", method: "GET", path: "/api/activity?top=1", status: 200, reads: 10, table: 40,
			header: http.Header{"X-Forwarded-Host": {"evil.example"}, "X-Original-Host": {"evil.example"}, "X-Forwarded-Proto": {"gopher"}, "X-Forwarded-Prefix": {"/evil"}},
			also: func(t *testing.T, _ *stack, r reply) {
				if next, _ := r.object()["nextLink"].(string); next == "" || strings.Contains(next, "evil") || strings.Contains(next, "gopher") {
					t.Errorf("the next page is at %q", next)
				}
			}},
		{letter: "J", name: "a next page on the host of the call", as: "admin", method: "GET", path: "/api/activity?top=1", status: 200, reads: 10, table: 40, header: http.Header{"Host": {"evil.example"}},
			also: func(t *testing.T, s *stack, r reply) {
				if next, _ := r.object()["nextLink"].(string); !strings.HasPrefix(next, "/api/") {
					t.Errorf("the next page is at %q", next)
				}
			}},
	}
	return rows
}

// retried opens a port under a key, and sends the same again while Resource Manager is down: what is stored answers.
func retried(t *testing.T, s *stack, _ *figures) {
	header := s.as("requester")
	header.Set("Idempotency-Key", "sent-again-while-it-is-down")
	body := asking(web, 22, "again", "203.0.113.50")
	first := s.do(s.app, "POST", "/api/request", header, body)
	id, _ := first.object()["id"].(string)
	if first.status != 200 || id == "" {
		t.Fatalf("%d %.300s", first.status, first.text)
	}
	s.knobs(strings.Replace(usual, "{", `{"down":true,`, 1))
	again := s.do(s.app, "POST", "/api/request", header, body)
	s.knobs(usual)
	if got, _ := again.object()["id"].(string); again.status != 200 && again.status != 202 || got != id {
		t.Errorf("sent again while Resource Manager is down: %d %.300s", again.status, again.text)
	}
	other := s.do(s.app, "POST", "/api/request", header, asking(web, 3389, "another", "203.0.113.50"))
	if code, _ := other.code(); other.status != 422 || code != "IdempotencyKeyReused" {
		t.Errorf("another request under the key: %d %.300s", other.status, other.text)
	}
	theirs := s.as("admin")
	theirs.Set("Idempotency-Key", "sent-again-while-it-is-down")
	if r := s.do(s.app, "POST", "/api/request?dryRun=true", theirs, body); strings.Contains(r.text, id) {
		t.Errorf("another's key gives another's request: %.300s", r.text)
	}
	s.closed("requester", id)
}

// slowClients is how many calls that never end hold their connections while everything else is sent.
const slowClients = 100

// slowly opens calls of which the body never comes, with good tokens and without, and gives what is to be held of them at the end: none was
// answered as if it had come, and whoever else called was served meanwhile.
func (s *stack) slowly(t *testing.T) (held func(*testing.T, *figures)) {
	t.Helper()
	var all []net.Conn
	for i := range slowClients {
		conn, err := net.Dial("tcp", s.door)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() }) // it may be closed already
		all = append(all, conn)
		token := ""
		if i%2 == 0 {
			token = "Authorization: Bearer " + s.tokens["admin"] + "\r\n"
		}
		if _, err := fmt.Fprintf(conn, "POST /api/disable HTTP/1.1\r\nHost: %s\r\n%sContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"virtualMachines\":[{", s.door, token); err != nil {
			t.Fatal(err)
		}
	}
	return func(t *testing.T, f *figures) {
		began := time.Now()
		r := s.call("admin", "GET", "/api/machines", "")
		clean(t, r)
		if r.status != 200 {
			t.Errorf("beside slow clients: %d %.300s", r.status, r.text)
		}
		f.say("J", fmt.Sprintf("a list beside %d clients that send half a body", slowClients), "", fmt.Sprintf("%s", time.Since(began).Round(time.Millisecond)))
		for i, conn := range all {
			if err := conn.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, 12)
			n, _ := io.ReadFull(conn, got) // nothing has come, or the end of the connection
			if line := string(got[:n]); strings.HasPrefix(line, "HTTP/1.1 2") {
				t.Errorf("slow client %d was answered %q", i, line)
			}
		}
	}
}

// promoted has somebody refused, gives him the role that he lacked, and gives what is to be held of it at the end: a refusal is
// remembered for a few seconds at most.
func (s *stack) promoted(t *testing.T) func(*testing.T) {
	t.Helper()
	body := asking(app2, 22, "as soon as I may", "203.0.113.9")
	if r := s.call("late", "POST", "/api/request?dryRun=true", body); r.status != 403 {
		t.Fatalf("without a role: %d %.300s", r.status, r.text)
	}
	s.give(people()["late"].claims["oid"], requesterRole, app2)
	return func(t *testing.T) {
		if r := s.call("late", "POST", "/api/request?dryRun=true", body); r.status != 200 {
			t.Errorf("long after the role was given: %d %.300s", r.status, r.text)
		}
	}
}

// encoded is a path with a machine in its query.
func encoded(path, vm string) string { return path + "?vm=" + url.QueryEscape(vm) }
