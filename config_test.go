package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portcullis/core/jit"
	"portcullis/core/limit"
	"portcullis/core/plan"
	"portcullis/handlers/portal"
	"portcullis/infra/arm"
)

//go:embed local.settings.json.example
var example string

// good is an environment that the app starts with.
var good = map[string]string{
	"FUNCTIONS_CUSTOMHANDLER_PORT":        "8080",
	"PORTCULLIS_TENANT":                   "00000000-0000-0000-0000-00000000D1D0",
	"PORTCULLIS_AUDIENCE":                 "api://portcullis, 00000000-0000-0000-0000-0000000000c1",
	"PORTCULLIS_SUBSCRIPTIONS":            "00000000-0000-0000-0000-00000000D3E0",
	"PORTCULLIS_TABLE_ENDPOINT":           "https://example.table.core.windows.net/",
	"ServiceBus__fullyQualifiedNamespace": "example.servicebus.windows.net",
	"PATH":                                "/bin",
}

func environ(changes map[string]string) []string {
	var out []string
	for name, value := range good {
		if _, changed := changes[name]; !changed {
			out = append(out, name+"="+value)
		}
	}
	for name, value := range changes {
		if value != "unset" {
			out = append(out, name+"="+value)
		}
	}
	return out
}

func TestReadConfigRefuses(t *testing.T) {
	for _, tc := range []struct {
		name    string
		changes map[string]string
		want    []string // parts of the error
	}{
		{"no port", map[string]string{"FUNCTIONS_CUSTOMHANDLER_PORT": "unset"}, []string{"FUNCTIONS_CUSTOMHANDLER_PORT", "Functions host"}},
		{"a port out of range", map[string]string{"FUNCTIONS_CUSTOMHANDLER_PORT": "65536"}, []string{"65536"}},
		{"no tenant", map[string]string{"PORTCULLIS_TENANT": "unset"}, []string{"PORTCULLIS_TENANT", "GUID"}},
		{"every tenant", map[string]string{"PORTCULLIS_TENANT": "common"}, []string{`"common"`}},
		{"a tenant by its name", map[string]string{"PORTCULLIS_TENANT": "00000000-0000-0000-0000-00000000d1d0,contoso.com"}, []string{`"contoso.com"`}},
		{"no audience", map[string]string{"PORTCULLIS_AUDIENCE": "unset"}, []string{"PORTCULLIS_AUDIENCE"}},
		{"an audience that is empty", map[string]string{"PORTCULLIS_AUDIENCE": "api://portcullis,"}, []string{"PORTCULLIS_AUDIENCE"}},
		{"every audience", map[string]string{"PORTCULLIS_AUDIENCE": "*"}, []string{"PORTCULLIS_AUDIENCE"}},
		{"an issuer that is not here", map[string]string{"PORTCULLIS_AUTHORITY": "http://203.0.113.7:7072"}, []string{"PORTCULLIS_AUTHORITY"}},
		{"an issuer elsewhere over https", map[string]string{"PORTCULLIS_AUTHORITY": "https://login.example.com"}, []string{"PORTCULLIS_AUTHORITY", "only a loopback address"}},
		{"names to sign in as in the cloud", map[string]string{"PORTCULLIS_SIGN_IN": "admin"}, []string{"PORTCULLIS_SIGN_IN", "only where PORTCULLIS_AUTHORITY"}},
		{"an empty name to sign in as", map[string]string{"PORTCULLIS_SIGN_IN": "admin,", "PORTCULLIS_AUTHORITY": "http://127.0.0.1:7072"}, []string{"PORTCULLIS_SIGN_IN", "a name is empty"}},
		{"no subscription", map[string]string{"PORTCULLIS_SUBSCRIPTIONS": "unset"}, []string{"PORTCULLIS_SUBSCRIPTIONS", "GUID"}},
		{"a subscription that is no GUID", map[string]string{"PORTCULLIS_SUBSCRIPTIONS": "00000000-0000-0000-0000-00000000d3e0,prod"}, []string{`"prod"`}},
		{"an unknown cloud", map[string]string{"PORTCULLIS_CLOUD": "AzureGermany"}, []string{"PORTCULLIS_CLOUD", "AzureChina"}},
		{"no table", map[string]string{"PORTCULLIS_TABLE_ENDPOINT": "unset"}, []string{"PORTCULLIS_TABLE_ENDPOINT"}},
		{"a table in the clear", map[string]string{"PORTCULLIS_TABLE_ENDPOINT": "http://example.table.core.windows.net"}, []string{"neither https nor http on a loopback address"}},
		{"a table in the clear by a name that resolves to loopback today", map[string]string{"PORTCULLIS_TABLE_ENDPOINT": "http://localhost:10002"}, []string{"neither https"}},
		{"a table with a key in the URL", map[string]string{"PORTCULLIS_TABLE_ENDPOINT": "https://example.table.core.windows.net/?sig=abc"}, []string{"not the URL"}},
		{"a table with a password in the URL", map[string]string{"PORTCULLIS_TABLE_ENDPOINT": "https://a:b@example.table.core.windows.net"}, []string{"not the URL"}},
		{"no namespace", map[string]string{"ServiceBus__fullyQualifiedNamespace": "unset"}, []string{"ServiceBus__fullyQualifiedNamespace"}},
		{"a namespace with a scheme", map[string]string{"ServiceBus__fullyQualifiedNamespace": "sb://example.servicebus.windows.net"}, []string{"not a host name"}},
		{"a Resource Manager that is not here", map[string]string{"PORTCULLIS_ARM_ENDPOINT": "http://203.0.113.7:7072"}, []string{"PORTCULLIS_ARM_ENDPOINT"}},
		{"a Resource Manager elsewhere over https", map[string]string{"PORTCULLIS_ARM_ENDPOINT": "https://management.example.com"}, []string{"only a loopback address"}},
		{"a bus that is not here", map[string]string{"PORTCULLIS_SERVICEBUS_ADDRESS": "203.0.113.7:5672"}, []string{"PORTCULLIS_SERVICEBUS_ADDRESS"}},
		{"a switch that is neither on nor off", map[string]string{"PORTCULLIS_FORBID_ANY_SOURCE": "true"}, []string{"PORTCULLIS_FORBID_ANY_SOURCE", `"true" is neither on nor off`}},
		{"a limit that is neither on nor off", map[string]string{"PORTCULLIS_NETWORK_WRITE_LIMIT": "1000"}, []string{"PORTCULLIS_NETWORK_WRITE_LIMIT", `"1000" is neither on nor off`}},
		{"a scope with its app before it", map[string]string{"PORTCULLIS_REQUIRED_SCOPE": "api://x/user_impersonation"}, []string{"PORTCULLIS_REQUIRED_SCOPE", "user_impersonation"}},
		{"two scopes as a token writes them", map[string]string{"PORTCULLIS_REQUIRED_SCOPE": "a b"}, []string{"PORTCULLIS_REQUIRED_SCOPE", `"a b"`}},
		{"an empty scope among others", map[string]string{"PORTCULLIS_REQUIRED_SCOPE": "a,"}, []string{"PORTCULLIS_REQUIRED_SCOPE", `""`}},
		{"break-glass for longer than a day", map[string]string{"PORTCULLIS_BREAK_GLASS_MAX_DURATION": "PT25H"}, []string{"PORTCULLIS_BREAK_GLASS_MAX_DURATION", `"PT25H"`, "PT5M"}},
		{"break-glass for less than any request", map[string]string{"PORTCULLIS_BREAK_GLASS_MAX_DURATION": "PT4M59S"}, []string{"PORTCULLIS_BREAK_GLASS_MAX_DURATION", `"PT4M59S"`}},
		{"break-glass for a number", map[string]string{"PORTCULLIS_BREAK_GLASS_MAX_DURATION": "60"}, []string{"PORTCULLIS_BREAK_GLASS_MAX_DURATION", `"60"`}},
		{"removed windows that are put back always", map[string]string{"PORTCULLIS_REMOVED_WINDOWS": "always"}, []string{"PORTCULLIS_REMOVED_WINDOWS", `"always" is neither once nor never`}},
		{"a lost right that is neither reported nor closed", map[string]string{"PORTCULLIS_RIGHT_LOST": "Close"}, []string{"PORTCULLIS_RIGHT_LOST", `"Close" is neither report nor close`}},
		{"more approvers than anybody finds", map[string]string{"PORTCULLIS_APPROVERS": "6"}, []string{"PORTCULLIS_APPROVERS", "0 to 5"}},
		{"approvers that are no number", map[string]string{"PORTCULLIS_APPROVERS": "two"}, []string{"PORTCULLIS_APPROVERS", `"two"`}},
		{"a wait that nobody approves in", map[string]string{"PORTCULLIS_APPROVAL_WAIT": "PT4M59S"}, []string{"PORTCULLIS_APPROVAL_WAIT", "PT5M to P1D"}},
		{"a wait beyond a day", map[string]string{"PORTCULLIS_APPROVAL_WAIT": "PT24H1S"}, []string{"PORTCULLIS_APPROVAL_WAIT", "PT5M to P1D"}},
		{"a wait without a unit", map[string]string{"PORTCULLIS_APPROVAL_WAIT": "60"}, []string{"PORTCULLIS_APPROVAL_WAIT", `"60"`}},
		{"a start further ahead than wake-ups last", map[string]string{"PORTCULLIS_MAX_START_AHEAD": "P31DT1S"}, []string{"PORTCULLIS_MAX_START_AHEAD", "PT0S to P31D"}},
		{"a start that is ahead by less than nothing", map[string]string{"PORTCULLIS_MAX_START_AHEAD": "-PT1S"}, []string{"PORTCULLIS_MAX_START_AHEAD", `"-PT1S"`}},
		{"a start ahead without a unit", map[string]string{"PORTCULLIS_MAX_START_AHEAD": "14"}, []string{"PORTCULLIS_MAX_START_AHEAD", `"14"`}},
		{"a quota that is no number", map[string]string{"PORTCULLIS_REQUESTOR_WINDOWS": "many"}, []string{"PORTCULLIS_REQUESTOR_WINDOWS", `"many"`}},
		{"a quota below nothing", map[string]string{"PORTCULLIS_REQUESTOR_ADDRESSES": "-1"}, []string{"PORTCULLIS_REQUESTOR_ADDRESSES", `"-1"`}},
		{"priorities that run backwards", map[string]string{"PORTCULLIS_WINDOW_PRIORITIES": "199-100"}, []string{"PORTCULLIS_WINDOW_PRIORITIES", `"199-100"`}},
		{"priorities that Azure does not take", map[string]string{"PORTCULLIS_WINDOW_PRIORITIES": "99-199"}, []string{"PORTCULLIS_WINDOW_PRIORITIES", "100-4096"}},
		{"priorities beyond the last", map[string]string{"PORTCULLIS_WINDOW_PRIORITIES": "4000-4097"}, []string{"PORTCULLIS_WINDOW_PRIORITIES"}},
		{"one priority that is no range", map[string]string{"PORTCULLIS_WINDOW_PRIORITIES": "100"}, []string{"PORTCULLIS_WINDOW_PRIORITIES", `"100"`}},
		{"priorities written in another way", map[string]string{"PORTCULLIS_WINDOW_PRIORITIES": "100 - 199"}, []string{"PORTCULLIS_WINDOW_PRIORITIES", `"100 - 199"`}},
		{"no priority is kept", map[string]string{"PORTCULLIS_KEPT_PRIORITIES": "0"}, []string{"PORTCULLIS_KEPT_PRIORITIES", "1 to 100"}},
		{"more are kept than there are", map[string]string{"PORTCULLIS_WINDOW_PRIORITIES": "100-105", "PORTCULLIS_KEPT_PRIORITIES": "4"}, []string{"PORTCULLIS_KEPT_PRIORITIES", "do not fit"}},
		{"a switch with a space", map[string]string{"PORTCULLIS_REQUIRE_JUSTIFICATION": "on "}, []string{"PORTCULLIS_REQUIRE_JUSTIFICATION", `"on " is neither on nor off`}},
		{"a critical setting that this version does not know", map[string]string{"PORTCULLIS_CRITICAL_SETTINGS": "PORTCULLIS_CLOUD,PORTCULLIS_REQUIRE_TICKET", "PORTCULLIS_REQUIRE_TICKET": "on", "PORTCULLIS_CLOUD": "AzurePublic"}, []string{"PORTCULLIS_CRITICAL_SETTINGS", `does not know "PORTCULLIS_REQUIRE_TICKET"`}},
		{"a critical setting that is misspelt where it is set", map[string]string{"PORTCULLIS_CRITICAL_SETTINGS": "PORTCULLIS_REQUIRE_JUSTIFICATION", "PORTCULLIS_REQUIRE_JUSTIFICATIONS": "on"}, []string{"PORTCULLIS_REQUIRE_JUSTIFICATION is not set"}},
		{"a critical setting that is no setting of ours", map[string]string{"PORTCULLIS_CRITICAL_SETTINGS": "PATH"}, []string{`does not know "PATH"`}},
		{"a widest prefix without a slash", map[string]string{"PORTCULLIS_WIDEST_SOURCE_IPV4": "24", "PORTCULLIS_WIDEST_SOURCE_IPV6": "/64"}, []string{"PORTCULLIS_WIDEST_SOURCE_IPV4", `"24"`, "/1 to /32"}},
		{"a widest prefix that bounds nothing", map[string]string{"PORTCULLIS_WIDEST_SOURCE_IPV4": "/24", "PORTCULLIS_WIDEST_SOURCE_IPV6": "/0"}, []string{"PORTCULLIS_WIDEST_SOURCE_IPV6", `"/0"`, "/1 to /128"}},
		{"a widest prefix that no address has", map[string]string{"PORTCULLIS_WIDEST_SOURCE_IPV4": "/33", "PORTCULLIS_WIDEST_SOURCE_IPV6": "/129"}, []string{`"/33"`, `"/129"`}},
		{"a widest prefix written in two ways", map[string]string{"PORTCULLIS_WIDEST_SOURCE_IPV4": "/024", "PORTCULLIS_WIDEST_SOURCE_IPV6": "/+64"}, []string{`"/024"`, `"/+64"`}},
		{"a widest prefix of IPv4 alone", map[string]string{"PORTCULLIS_WIDEST_SOURCE_IPV4": "/24"}, []string{"set PORTCULLIS_WIDEST_SOURCE_IPV6 too"}},
		{"a widest prefix of IPv6 alone", map[string]string{"PORTCULLIS_WIDEST_SOURCE_IPV6": "/64"}, []string{"PORTCULLIS_WIDEST_SOURCE_IPV4"}},
		{"an unknown channel", map[string]string{"PORTCULLIS_TELL": "webhook,sms", "PORTCULLIS_TELL_WEBHOOK": "https://example.com/s3cr3t"}, []string{"PORTCULLIS_TELL", `"sms" is none of webhook, teams, slack, email`}},
		{"a channel that is named twice", map[string]string{"PORTCULLIS_TELL": "slack,slack", "PORTCULLIS_TELL_SLACK": "https://example.com/"}, []string{"named twice"}},
		{"a channel without an address", map[string]string{"PORTCULLIS_TELL": "email"}, []string{"PORTCULLIS_TELL_EMAIL, its address, is not set"}},
		{"a channel in the clear", map[string]string{"PORTCULLIS_TELL": "slack", "PORTCULLIS_TELL_SLACK": "http://hooks.example.com/"}, []string{"PORTCULLIS_TELL_SLACK", "neither https nor http on a loopback address"}},
		{"two audiences of one receiver", map[string]string{"PORTCULLIS_TELL_WEBHOOK_AUDIENCE": "api://a,api://b"}, []string{"PORTCULLIS_TELL_WEBHOOK_AUDIENCE"}},
		{"half of a stream", map[string]string{"PORTCULLIS_LOG_INGESTION_ENDPOINT": "https://a.westeurope-1.ingest.monitor.azure.com"}, []string{"PORTCULLIS_LOG_INGESTION_ENDPOINT", "set together"}},
		{"the other half of a stream", map[string]string{"PORTCULLIS_LOG_INGESTION_RULE": "dcr-00000000000000000000000000000000", "PORTCULLIS_LOG_INGESTION_STREAM": "Custom-P"}, []string{"PORTCULLIS_LOG_INGESTION_ENDPOINT", "set together"}},
		{"a stream to elsewhere", map[string]string{"PORTCULLIS_LOG_INGESTION_ENDPOINT": "https://ingest.monitor.azure.com.example.com", "PORTCULLIS_LOG_INGESTION_RULE": "dcr-00000000000000000000000000000000", "PORTCULLIS_LOG_INGESTION_STREAM": "Custom-P"}, []string{"PORTCULLIS_LOG_INGESTION_ENDPOINT", "is not in AzurePublic"}},
		{"a stream in another cloud", map[string]string{"PORTCULLIS_LOG_INGESTION_ENDPOINT": "https://a.ingest.monitor.azure.us", "PORTCULLIS_LOG_INGESTION_RULE": "dcr-00000000000000000000000000000000", "PORTCULLIS_LOG_INGESTION_STREAM": "Custom-P"}, []string{"is not in AzurePublic"}},
		{"a stream in the clear", map[string]string{"PORTCULLIS_LOG_INGESTION_ENDPOINT": "http://a.ingest.monitor.azure.com"}, []string{"PORTCULLIS_LOG_INGESTION_ENDPOINT", "neither https nor http on a loopback address"}},
		{"a rule that is none", map[string]string{"PORTCULLIS_LOG_INGESTION_RULE": "../x"}, []string{"PORTCULLIS_LOG_INGESTION_RULE", "dcr-"}},
		{"a stream that is none", map[string]string{"PORTCULLIS_LOG_INGESTION_STREAM": "Microsoft-Syslog"}, []string{"PORTCULLIS_LOG_INGESTION_STREAM", "Custom-"}},
		{"a page that is not here", map[string]string{"PORTCULLIS_PAGE": "https://example.com/"}, []string{"PORTCULLIS_PAGE", "only a loopback address"}},
		{"everything wrong at once", map[string]string{"PORTCULLIS_TENANT": "", "PORTCULLIS_AUDIENCE": "", "PORTCULLIS_CLOUD": "x", "PORTCULLIS_TABLE_ENDPOINT": ""}, []string{"PORTCULLIS_TENANT", "PORTCULLIS_AUDIENCE", "PORTCULLIS_CLOUD", "PORTCULLIS_TABLE_ENDPOINT"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := readConfig(environ(tc.changes))
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not say %q:\n%v", want, err)
				}
			}
		})
	}
}

func TestReadConfig(t *testing.T) {
	got, err := readConfig(environ(map[string]string{
		"PORTCULLIS_SUBSCRIPTIONS":   "00000000-0000-0000-0000-00000000D3E1, 00000000-0000-0000-0000-00000000d3e0,00000000-0000-0000-0000-00000000d3e1",
		"PORTCULLIS_CLOUD":           "AzureChina",
		"PORTCULLIS_REQUIRED_SCOPE":  "user_impersonation, Portcullis.Call",
		"PORTCULLIS_AUTHORITY":       "http://127.0.0.1:7072/",
		"PORTCULLIS_SIGN_IN":         "reader, a&b",
		"PORTCULLIS_LOCAL_PORT_BASE": "9000",

		"PORTCULLIS_FORBID_ANY_SOURCE":     "on",
		"PORTCULLIS_WIDEST_SOURCE_IPV4":    "/24",
		"PORTCULLIS_WIDEST_SOURCE_IPV6":    "/64",
		"PORTCULLIS_REQUIRE_JUSTIFICATION": "off",
		"PORTCULLIS_NETWORK_WRITE_LIMIT":   "off",
		"PORTCULLIS_REQUESTOR_WINDOWS":     "0",
		"PORTCULLIS_RIGHT_LOST":            "close",
		"PORTCULLIS_REMOVED_WINDOWS":       "never",
		"PORTCULLIS_APPROVERS":             "2",
		"PORTCULLIS_APPROVAL_WAIT":         "PT30M",
		"PORTCULLIS_MAX_START_AHEAD":       "PT0S",

		"PORTCULLIS_BREAK_GLASS_MAX_DURATION": "PT30M",

		"PORTCULLIS_TABLE_ENDPOINT":           "https://example.table.core.chinacloudapi.cn/",
		"ServiceBus__fullyQualifiedNamespace": "example.servicebus.chinacloudapi.cn",
	}))
	if err != nil {
		t.Fatal(err)
	}
	want := config{
		Port: 8080, Cloud: "AzureChina", Authority: "http://127.0.0.1:7072",
		Tenants: []string{"00000000-0000-0000-0000-00000000d1d0"}, Audiences: []string{"api://portcullis", "00000000-0000-0000-0000-0000000000c1"},
		Permissions:   []string{"user_impersonation", "Portcullis.Call"},
		Subscriptions: []string{"00000000-0000-0000-0000-00000000d3e0", "00000000-0000-0000-0000-00000000d3e1"},
		TableEndpoint: "https://example.table.core.chinacloudapi.cn",
		Floor:         jit.Options{ForbidAnySource: true, WidestIPv4: 24, WidestIPv6: 64, Approvers: 2},
		Wait:          30 * time.Minute,
		Unlimited:     true,
		CloseLost:     true,
		LeaveRemoved:  true,
		BreakGlass:    30 * time.Minute,
		Quota:         limit.Quota{Addresses: 1000}, Room: plan.Room{Kept: 1},
		BusNamespace: "example.servicebus.chinacloudapi.cn",
		SignIn:       []portal.Provider{{Name: "Sign in as reader", Path: "/.auth/login/local?as=reader"}, {Name: "Sign in as a&b", Path: "/.auth/login/local?as=a%26b"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
}

// TestLimits checks that the network provider's documented limit is enforced unless a setting says otherwise, and
// that Resource Manager's own limits always are.
func TestLimits(t *testing.T) {
	kept, unlimited := limitsOf(config{}), limitsOf(config{Unlimited: true})
	if kept != arm.Documented() || kept.NetworkWrites != 1000 {
		t.Errorf("limits %+v", kept)
	}
	if unlimited.NetworkWrites != 0 || unlimited.Writes != kept.Writes || unlimited.Reads != kept.Reads || unlimited.Share != kept.Share {
		t.Errorf("without the network provider's: %+v", unlimited)
	}
}

// TestUnknownSettings checks that a setting of a newer version stops nothing and is listed, that an invalid value
// still stops the start, and that values of unknown settings are never shown.
func TestUnknownSettings(t *testing.T) {
	newer := map[string]string{"PORTCULLIS_ZONE": "SECRET", "PORTCULLIS_REQUIRE_TICKET": "on", "PORTCULLIS_": "", "PORTCULLIS_LOCAL_PORT_BASE": "9000", "UNRELATED": "1"}
	cfg, err := readConfig(environ(newer))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"PORTCULLIS_", "PORTCULLIS_REQUIRE_TICKET", "PORTCULLIS_ZONE"}, cfg.Unknown); diff != "" {
		t.Errorf("unknown (-want +got):\n%s", diff)
	}
	newer["PORTCULLIS_REQUIRE_JUSTIFICATION"] = "yes"
	if _, err := readConfig(environ(newer)); err == nil || !strings.Contains(err.Error(), "PORTCULLIS_REQUIRE_JUSTIFICATION") || strings.Contains(err.Error(), "SECRET") || strings.Contains(err.Error(), "ZONE") {
		t.Errorf("a flag that is not understood, beside unknown settings: %v", err)
	}
	if cfg, err := readConfig(environ(map[string]string{"PORTCULLIS_CRITICAL_SETTINGS": " PORTCULLIS_TENANT,PORTCULLIS_FORBID_ANY_SOURCE", "PORTCULLIS_FORBID_ANY_SOURCE": "on"})); err != nil || !cfg.Floor.ForbidAnySource || cfg.Unknown != nil {
		t.Errorf("critical settings that are known and set: %+v, %v", cfg, err)
	}
}

// TestSettingsAreDocumented compares what the app reads, the example of local settings, and the table in
// docs/operations.md.
func TestSettingsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Settings\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var values struct{ Values map[string]string }
	if err := json.Unmarshal([]byte(example), &values); err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	var rows []string
	for _, s := range settings() {
		if s.doc == "" || s.read == nil || s.use < deployed || s.use > oneMachine || known[s.name] {
			t.Errorf("%s is not whole, or there twice", s.name)
		}
		known[s.name] = true
		rows = append(rows, fmt.Sprintf("| `%s` | %s | %s |", s.name, map[use]string{deployed: "the templates", optional: "you", ofPlatform: "the platform", oneMachine: "`make run` alone"}[s.use], s.doc))
		_, shown := values.Values[s.name]
		if want := (s.use == deployed || s.use == optional) && s.name != "PORTCULLIS_IDENTITY_CLIENT_ID"; shown != want {
			t.Errorf("local.settings.json.example shows %s: %v, want %v", s.name, shown, want)
		}
	}
	for name := range values.Values {
		if strings.HasPrefix(name, "PORTCULLIS_") && !known[name] {
			t.Errorf("local.settings.json.example shows %s, which is no setting", name)
		}
	}
	if diff := cmp.Diff(rows, regexp.MustCompile("(?m)^\\| `.*$").FindAllString(section, -1)); diff != "" {
		t.Errorf("settings (-) and the table of docs/operations.md (+) differ:\n%s", diff)
	}
}

// TestForwardedHeaders checks that only true counts as true: the app must not guess when it decides whose address
// it knows.
func TestForwardedHeaders(t *testing.T) {
	for value, want := range map[string]bool{"unset": false, "": false, "false": false, "1": false, "yes": false, " true": false, "true,": false, "true": true, "True": true, "TRUE": true} {
		cfg, err := readConfig(environ(map[string]string{"ASPNETCORE_FORWARDEDHEADERS_ENABLED": value}))
		if err != nil || cfg.ForwardedHeaders != want {
			t.Errorf("%q: %v, %v, want %v", value, cfg.ForwardedHeaders, err, want)
		}
	}
}

// TestHome: the app's own subscription is what precedes the plus in the name of its webspace, and nothing else.
func TestHome(t *testing.T) {
	const id = "00000000-0000-0000-0000-00000000d3e0"
	for webspace, want := range map[string]string{
		"": "", id: "", "+": "", "prod+group-WestEuropewebspace": "", "../" + id + "+x": "",
		strings.ToUpper(id) + "+group-WestEuropewebspace-Linux": id,
	} {
		c, err := readConfig(environ(map[string]string{"WEBSITE_OWNER_NAME": webspace}))
		if err != nil || c.Home != want {
			t.Errorf("%q: %q, want %q (%v)", webspace, c.Home, want, err)
		}
	}
}

// TestTell: channels, and that no error about an address holds it. A Key Vault reference that is not resolved stops no start.
func TestTell(t *testing.T) {
	got, err := readConfig(environ(map[string]string{"PORTCULLIS_TELL": "teams, webhook", "PORTCULLIS_TELL_TEAMS": "@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/teams)",
		"PORTCULLIS_TELL_WEBHOOK": "https://example.com/in", "PORTCULLIS_TELL_WEBHOOK_AUDIENCE": "api://in", "WEBSITE_HOSTNAME": "app.azurewebsites.net"}))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]telling{"teams": {URL: "@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/teams)"}, "webhook": {URL: "https://example.com/in", Audience: "api://in"}}
	if diff := cmp.Diff(want, got.Tell); diff != "" || !slices.Equal(got.Channels, []string{"teams", "webhook"}) || got.Page != "https://app.azurewebsites.net/api/portal" {
		t.Errorf("channels %q, page %q, settings:\n%s", got.Channels, got.Page, diff)
	}
	got, err = readConfig(environ(map[string]string{"WEBSITE_HOSTNAME": "app.azurewebsites.net", "PORTCULLIS_PAGE": "http://127.0.0.1:7071/api/portal"}))
	if err != nil || got.Page != "http://127.0.0.1:7071/api/portal" {
		t.Errorf("on one machine: page %q, error %v", got.Page, err)
	}
	for _, address := range []string{"http://example.com/s3cr3t", "https://s3cr3t@example.com", "ftp://example.com/s3cr3t", "https://example.com/%zzs3cr3t"} {
		_, err := readConfig(environ(map[string]string{"PORTCULLIS_TELL": "slack", "PORTCULLIS_TELL_SLACK": address}))
		if err == nil || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// TestStream reads where the log is streamed, in each cloud, and to a stand-in.
func TestStream(t *testing.T) {
	for _, c := range [][2]string{{"AzurePublic", "https://a.westeurope-1.ingest.monitor.azure.com"}, {"AzureUSGovernment", "https://a.ingest.monitor.azure.us"}, {"AzureChina", "https://a.ingest.monitor.azure.cn"}, {"AzurePublic", "http://127.0.0.1:24009"}} {
		got, err := readConfig(environ(map[string]string{endpointSetting: c[1] + "/", "PORTCULLIS_LOG_INGESTION_RULE": "dcr-00000000000000000000000000000000", "PORTCULLIS_LOG_INGESTION_STREAM": "Custom-Portcullis", "PORTCULLIS_CLOUD": c[0],
			"PORTCULLIS_TABLE_ENDPOINT": "http://127.0.0.1:1", "ServiceBus__fullyQualifiedNamespace": "a" + clouds()[c[0]].bus}))
		if want := (streaming{c[1], "dcr-00000000000000000000000000000000", "Custom-Portcullis"}); err != nil || got.Stream != want {
			t.Errorf("%s: %+v, %v", c[0], got.Stream, err)
		}
	}
	none, err := readConfig(environ(nil))
	if s, failed := streamOf(none, nil, nil, nil); err != nil || failed != nil || s != nil {
		t.Errorf("unless it is set: %v, %v, %v", s, err, failed)
	}
}
