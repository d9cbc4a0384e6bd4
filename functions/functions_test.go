package functions_test

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"portcullis/functions"
)

const httpOut = `{"type":"http","direction":"out","name":"res"}`

func TestParseRefuses(t *testing.T) {
	tests := []struct {
		name, json, want string
	}{
		{"not JSON", `{`, "unexpected EOF"},
		{"two values", `{"bindings":[{"type":"timerTrigger","direction":"in","name":"t"}]}{}`, "more than one JSON value"},
		{"misspelt field", `{"bindings":[{"type":"timerTrigger","direction":"in","name":"t","shedule":"0 * * * * *"}]}`, `unknown field "shedule"`},
		{"no trigger", `{"bindings":[]}`, "0 input bindings"},
		{"two triggers", `{"bindings":[{"type":"timerTrigger","direction":"in","name":"a"},{"type":"timerTrigger","direction":"in","name":"b"}]}`, "2 input bindings"},
		{"trigger without a name", `{"bindings":[{"type":"timerTrigger","direction":"in"}]}`, "no name"},
		{"direction of neither kind", `{"bindings":[{"type":"timerTrigger","direction":"inout","name":"t"}]}`, "neither in nor out"},
		{"unknown trigger", `{"bindings":[{"type":"blobTrigger","direction":"in","name":"b"}]}`, `"blobTrigger"`},
		{"HTTP without an output", `{"bindings":[{"type":"httpTrigger","direction":"in","name":"req"}]}`, "0 output bindings"},
		{"HTTP with two outputs", `{"bindings":[{"type":"httpTrigger","direction":"in","name":"req"},` + httpOut + `,` + httpOut + `]}`, "2 output bindings"},
		{"HTTP with another output", `{"bindings":[{"type":"httpTrigger","direction":"in","name":"req"},{"type":"queue","direction":"out","name":"q"}]}`, `"queue"`},
		{"timer with an output", `{"bindings":[{"type":"timerTrigger","direction":"in","name":"t","schedule":"0 * * * * *"},` + httpOut + `]}`, "1 output bindings"},
		{"a schedule that the host reads otherwise", `{"bindings":[{"type":"timerTrigger","direction":"in","name":"t","schedule":"0 0 22-2 * * *"}]}`, "the other way round"},
		{"many messages at once", `{"bindings":[{"type":"serviceBusTrigger","direction":"in","name":"m","cardinality":"many"}]}`, `cardinality "many"`},
		{"cardinality left to the default", `{"bindings":[{"type":"serviceBusTrigger","direction":"in","name":"m"}]}`, `cardinality ""`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := functions.Parse(fstest.MapFS{"f/function.json": {Data: []byte(tt.json)}})
			if err == nil {
				t.Fatalf("accepted as %+v", got)
			}
			for _, want := range []string{"f/function.json", tt.want} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
		})
	}
}

// TestSchedules checks that the host and a reader understand every schedule in the same way.
func TestSchedules(t *testing.T) {
	tests := []struct{ text, want string }{
		{"", "has 1 fields"},
		{"*/5 * * * *", "has 5 fields"},
		{"0 */5 * * * * *", "has 7 fields"},
		{"00:05:00", "has 1 fields"},
		{"26:00:00", "has 1 fields"},
		{"@hourly", "has 1 fields"},
		{"%SCHEDULE%", "has 1 fields"},
		{"TZ=UTC 0 0 0 1 *", "not of the forms"},
		{"0 0 0 ? * *", "not of the forms"},
		{"0 0 0 L * *", "not of the forms"},
		{"0 0 0 * JAN *", "not of the forms"},
		{"0 0 0 * * SUN", "not of the forms"},
		{"0 0 0 * * FRI-MON", "not of the forms"},
		{"0 5/15 * * * *", "not of the forms"},
		{"0 5-20/5 * * * *", "not of the forms"},
		{"0 */0 * * * *", "not of the forms"},
		{"0 1,,2 * * * *", "not of the forms"},
		{"0 0 22-2 * * *", "the other way round"},
		{"0 0 1,22-2 * * *", "the other way round"},
		{"0 0 0 * * 5-1", "the other way round"},
		{"0 0 0 * * 7", "Sunday is 0"},
		{"0 0 0 * * 5-7", "Sunday is 0"},
		{"0 0 0 13 * 5", "has to be both"},
		{"0 */5 * * * *", ""},
		{"0 0,30 9-17 * * 1-5", ""},
		{"15 0 0 1 */3 *", ""},
	}
	for _, tt := range tests {
		err := functions.CheckSchedule(tt.text)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v, want %q", tt.text, err, tt.want)
		}
	}
}

// TestAll lists what the app declares, for people to read.
func TestAll(t *testing.T) {
	http := func(name, method, route string) functions.Function {
		return functions.Function{
			Name: name, Kind: functions.HTTP, BindingName: "req",
			Methods: []string{method}, Route: route, AuthLevel: "anonymous",
		}
	}
	want := []functions.Function{
		http("activity", "GET", "activity"),
		http("activity-verify", "GET", "activity/verify"),
		{Name: "compat", Kind: functions.HTTP, BindingName: "req", Methods: []string{"DELETE", "GET", "POST", "PUT"}, Route: "subscriptions/{*path}", AuthLevel: "anonymous"},
		http("compliance", "GET", "compliance"),
		http("disable", "POST", "disable"),
		http("doctor", "GET", "doctor"),
		http("enable", "POST", "enable"),
		http("health", "GET", "health"),
		http("import", "POST", "import"),
		http("lockdown", "POST", "lockdown"),
		http("lockdown-holds", "GET", "lockdown/{id?}"),
		http("lockdown-lift", "POST", "lockdown/{id}/lift"),
		http("machines", "GET", "machines"),
		http("metadata-endpoints", "GET", "metadata/endpoints"),
		http("openapi", "GET", "openapi.json"),
		http("policies-export", "GET", "policies/export"),
		http("policies-import", "POST", "policies/import"),
		{Name: "portal", Kind: functions.HTTP, BindingName: "req", Methods: []string{"GET", "POST"}, Route: "portal/{*path}", AuthLevel: "anonymous"},
		http("request", "POST", "request"),
		http("requests", "GET", "requests/{id?}"),
		http("requests-again", "POST", "requests/{id}/again"),
		http("requests-approve", "POST", "requests/{id}/approve"),
		http("requests-deny", "POST", "requests/{id}/deny"),
		http("requests-extend", "POST", "requests/{id}/extend"),
		http("requests-review", "POST", "requests/{id}/review"),
		http("requests-revoke", "POST", "requests/{id}/revoke"),
		{Name: "revoke", Kind: functions.ServiceBus, BindingName: "message", Queue: "portcullis-revoke", Connection: "ServiceBus"},
		{Name: "sweep", Kind: functions.Timer, BindingName: "timer", Schedule: "0 */5 * * * *"},
		http("sweep-now", "POST", "sweep"),
		http("tenants", "GET", "tenants"),
	}
	if diff := cmp.Diff(want, all(t)); diff != "" {
		t.Errorf("declarations (-want +got):\n%s", diff)
	}
}

// TestNames checks the host's rule for names (ours are also lower-case), and that no function's folder has the
// name of a file next to it in the package.
func TestNames(t *testing.T) {
	legal := regexp.MustCompile(`^[a-z][a-z0-9_\-]{0,127}$`)
	for _, f := range all(t) {
		if !legal.MatchString(f.Name) {
			t.Errorf("%q is not a legal name", f.Name)
		}
		if f.Name == "host" || f.Name == "handlers" {
			t.Errorf("%q is the host's or the binary's name", f.Name)
		}
	}
}

// TestHTTP checks every HTTP declaration: its route is unique and leads to the app. A route may catch all only
// below a first segment that is no trigger's name: the app itself tells apart the paths of Azure Resource Manager,
// whose case does not count, and a route that caught everything could receive what is meant for a trigger.
func TestHTTP(t *testing.T) {
	taken, triggers := map[string]string{}, map[string]bool{}
	for _, f := range all(t) {
		triggers[f.Name] = f.Kind != functions.HTTP
	}
	for _, f := range all(t) {
		if f.Kind != functions.HTTP {
			continue
		}
		if f.AuthLevel != "anonymous" {
			t.Errorf("%s: authLevel %q: callers are known by their token, not by a function key", f.Name, f.AuthLevel)
		}
		if f.Route == "" || strings.HasPrefix(f.Route, "/") {
			t.Errorf("%s: route %q", f.Name, f.Route)
		}
		if first, rest, _ := strings.Cut(f.Route, "/"); strings.Contains(f.Route, "*") && (strings.ContainsAny(first, "{}*") || !regexp.MustCompile(`^\{\*[a-z]+\}$`).MatchString(rest) || triggers[first]) {
			t.Errorf("%s: route %q catches more than what is below its own first segment", f.Name, f.Route)
		}
		if len(f.Methods) == 0 {
			t.Errorf("%s: no methods, so the host would pass every one", f.Name)
		}
		for _, route := range spellings(f.Route) {
			for _, method := range f.Methods {
				key := method + " " + route
				if other, ok := taken[key]; ok {
					t.Errorf("%s and %s both answer %s", other, f.Name, key)
				}
				taken[key] = f.Name
				if strings.HasPrefix(route, "{") {
					t.Errorf("%s: %s begins with a parameter, so it matches any first segment", f.Name, key)
				}
			}
		}
	}
}

// TestTriggersOutOfReach checks that no outside request can be taken for a trigger. The host posts a trigger to
// /<function name> and forwards a request with its whole path, which begins with the route prefix. The two stay
// apart only if there is a prefix and no trigger has its name.
func TestTriggersOutOfReach(t *testing.T) {
	text, err := os.ReadFile("../host.json")
	if err != nil {
		t.Fatal(err)
	}
	var host struct {
		Extensions struct {
			HTTP struct {
				RoutePrefix string `json:"routePrefix"`
			} `json:"http"`
		} `json:"extensions"`
	}
	if err := json.Unmarshal(text, &host); err != nil {
		t.Fatal(err)
	}
	prefix := host.Extensions.HTTP.RoutePrefix
	if prefix == "" || strings.ContainsAny(prefix, "/{}") {
		t.Fatalf("route prefix %q is not one plain segment", prefix)
	}
	for _, f := range all(t) {
		if f.Kind == functions.HTTP {
			path := "/" + strings.ToLower(prefix+"/"+f.Route)
			for _, trigger := range all(t) {
				if trigger.Kind != functions.HTTP && path == "/"+trigger.Name {
					t.Errorf("%s: %s is the path of the trigger %s", f.Name, path, trigger.Name)
				}
			}
		}
		if strings.EqualFold(f.Name, prefix) {
			t.Errorf("the function %s is called like the route prefix", f.Name)
		}
	}
}

// spellings returns the patterns that a route stands for, without parameter names: two if its last segment is
// optional.
func spellings(route string) []string {
	route = strings.ToLower(route)
	named := regexp.MustCompile(`\{[^}?]*\}`)
	if i := strings.LastIndex(route, "/{"); i >= 0 && strings.HasSuffix(route, "?}") {
		return []string{named.ReplaceAllString(route[:i], "{}"), named.ReplaceAllString(route[:i], "{}") + "/{}"}
	}
	return []string{named.ReplaceAllString(route, "{}")}
}

func all(t *testing.T) []functions.Function {
	t.Helper()
	all, err := functions.All()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Fatal("no functions declared")
	}
	return all
}

// TestSettingsExample checks that the example has every setting of a deployed app, and no secret: the app signs in
// with identities.
func TestSettingsExample(t *testing.T) {
	text, err := os.ReadFile("../local.settings.json.example")
	if err != nil {
		t.Fatal(err)
	}
	var example struct {
		IsEncrypted bool
		Values      map[string]string
	}
	if err := json.Unmarshal(text, &example); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"FUNCTIONS_WORKER_RUNTIME":            "custom",
		"ASPNETCORE_FORWARDEDHEADERS_ENABLED": "true",
		"AzureWebJobsDisableHomepage":         "true",
		"AzureWebJobsStorage__accountName":    "portcullisexample",
		"ServiceBus__fullyQualifiedNamespace": "portcullis-example.servicebus.windows.net",
		"ServiceBus__credential":              "managedidentity",
		"PORTCULLIS_SUBSCRIPTIONS":            "00000000-0000-0000-0000-000000000000",
		"PORTCULLIS_TENANT":                   "00000000-0000-0000-0000-000000000000",
		"PORTCULLIS_AUDIENCE":                 "api://00000000-0000-0000-0000-000000000000,00000000-0000-0000-0000-000000000000",
		"PORTCULLIS_CLOUD":                    "AzurePublic",
		"PORTCULLIS_FORBID_ANY_SOURCE":        "off",
		"PORTCULLIS_WIDEST_SOURCE_IPV4":       "",
		"PORTCULLIS_WIDEST_SOURCE_IPV6":       "",
		"PORTCULLIS_REQUIRE_JUSTIFICATION":    "off",
		"PORTCULLIS_REMOVED_WINDOWS":          "once",
		"PORTCULLIS_BREAK_GLASS_MAX_DURATION": "PT1H",
		"PORTCULLIS_REQUESTOR_WINDOWS":        "250",
		"PORTCULLIS_REQUESTOR_ADDRESSES":      "1000",
		"PORTCULLIS_WINDOW_PRIORITIES":        "100-4096",
		"PORTCULLIS_KEPT_PRIORITIES":          "1",
		"PORTCULLIS_NETWORK_WRITE_LIMIT":      "on",
		"PORTCULLIS_CRITICAL_SETTINGS":        "",
		"PORTCULLIS_APPROVERS":                "",
		"PORTCULLIS_APPROVAL_WAIT":            "",
		"PORTCULLIS_MAX_START_AHEAD":          "",
		"PORTCULLIS_TELL":                     "",
		"PORTCULLIS_TELL_WEBHOOK":             "",
		"PORTCULLIS_TELL_WEBHOOK_AUDIENCE":    "",
		"PORTCULLIS_TELL_TEAMS":               "",
		"PORTCULLIS_TELL_SLACK":               "",
		"PORTCULLIS_TELL_EMAIL":               "",
		"PORTCULLIS_TELL_EMAIL_AUDIENCE":      "",
		"PORTCULLIS_LOG_INGESTION_ENDPOINT":   "",
		"PORTCULLIS_LOG_INGESTION_RULE":       "",
		"PORTCULLIS_LOG_INGESTION_STREAM":     "",
		"PORTCULLIS_REQUIRED_SCOPE":           "",
		"PORTCULLIS_RIGHT_LOST":               "report",
		"PORTCULLIS_TABLE_ENDPOINT":           "https://portcullisexample.table.core.windows.net",
	}
	if diff := cmp.Diff(want, example.Values); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
	for name, value := range example.Values {
		for _, secret := range []string{"AccountKey=", "SharedAccessKey", "sig=", "password"} {
			if strings.Contains(strings.ToLower(value), strings.ToLower(secret)) {
				t.Errorf("%s holds a secret: %s", name, secret)
			}
		}
	}
}
