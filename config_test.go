package main

import (
	_ "embed"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"portcullis/core/jit"
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
		{"the switch of earlier versions", map[string]string{"PORTCULLIS_AUTH": "local"}, []string{"PORTCULLIS_AUTH is not a setting"}},
		{"a misspelt setting", map[string]string{"PORTCULLIS_SUBSCRIPTION": "x"}, []string{"PORTCULLIS_SUBSCRIPTION is not a setting"}},
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
		{"a switch with a space", map[string]string{"PORTCULLIS_REQUIRE_JUSTIFICATION": "on "}, []string{"PORTCULLIS_REQUIRE_JUSTIFICATION", `"on " is neither on nor off`}},
		{"a misspelt demand", map[string]string{"PORTCULLIS_REQUIRE_JUSTIFICATIONS": "on"}, []string{"PORTCULLIS_REQUIRE_JUSTIFICATIONS is not a setting"}},
		{"a widest prefix without a slash", map[string]string{"PORTCULLIS_WIDEST_SOURCE_IPV4": "24", "PORTCULLIS_WIDEST_SOURCE_IPV6": "/64"}, []string{"PORTCULLIS_WIDEST_SOURCE_IPV4", `"24"`, "/1 to /32"}},
		{"a widest prefix that bounds nothing", map[string]string{"PORTCULLIS_WIDEST_SOURCE_IPV4": "/24", "PORTCULLIS_WIDEST_SOURCE_IPV6": "/0"}, []string{"PORTCULLIS_WIDEST_SOURCE_IPV6", `"/0"`, "/1 to /128"}},
		{"a widest prefix that no address has", map[string]string{"PORTCULLIS_WIDEST_SOURCE_IPV4": "/33", "PORTCULLIS_WIDEST_SOURCE_IPV6": "/129"}, []string{`"/33"`, `"/129"`}},
		{"a widest prefix written in two ways", map[string]string{"PORTCULLIS_WIDEST_SOURCE_IPV4": "/024", "PORTCULLIS_WIDEST_SOURCE_IPV6": "/+64"}, []string{`"/024"`, `"/+64"`}},
		{"a widest prefix of IPv4 alone", map[string]string{"PORTCULLIS_WIDEST_SOURCE_IPV4": "/24"}, []string{"set PORTCULLIS_WIDEST_SOURCE_IPV6 too"}},
		{"a widest prefix of IPv6 alone", map[string]string{"PORTCULLIS_WIDEST_SOURCE_IPV6": "/64"}, []string{"PORTCULLIS_WIDEST_SOURCE_IPV4"}},
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
		"PORTCULLIS_AUTHORITY":       "http://127.0.0.1:7072/",
		"PORTCULLIS_SIGN_IN":         "reader, a&b",
		"PORTCULLIS_LOCAL_PORT_BASE": "9000",

		"PORTCULLIS_FORBID_ANY_SOURCE":     "on",
		"PORTCULLIS_WIDEST_SOURCE_IPV4":    "/24",
		"PORTCULLIS_WIDEST_SOURCE_IPV6":    "/64",
		"PORTCULLIS_REQUIRE_JUSTIFICATION": "off",
		"PORTCULLIS_NETWORK_WRITE_LIMIT":   "off",

		"PORTCULLIS_TABLE_ENDPOINT":           "https://example.table.core.chinacloudapi.cn/",
		"ServiceBus__fullyQualifiedNamespace": "example.servicebus.chinacloudapi.cn",
	}))
	if err != nil {
		t.Fatal(err)
	}
	want := config{
		Port: 8080, Cloud: "AzureChina", Authority: "http://127.0.0.1:7072",
		Tenants: []string{"00000000-0000-0000-0000-00000000d1d0"}, Audiences: []string{"api://portcullis", "00000000-0000-0000-0000-0000000000c1"},
		Subscriptions: []string{"00000000-0000-0000-0000-00000000d3e0", "00000000-0000-0000-0000-00000000d3e1"},
		TableEndpoint: "https://example.table.core.chinacloudapi.cn",
		Floor:         jit.Options{ForbidAnySource: true, WidestIPv4: 24, WidestIPv6: 64},
		Unlimited:     true,
		BusNamespace:  "example.servicebus.chinacloudapi.cn",
		SignIn:        []portal.Provider{{Name: "Sign in as reader", Path: "/.auth/login/local?as=reader"}, {Name: "Sign in as a&b", Path: "/.auth/login/local?as=a%26b"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
}

// TestLimits holds that the network provider's documented limit is kept unless a setting says otherwise, and that Resource
// Manager's own are kept in any case.
func TestLimits(t *testing.T) {
	kept, unlimited := limitsOf(config{}), limitsOf(config{Unlimited: true})
	if kept != arm.Documented() || kept.NetworkWrites != 1000 {
		t.Errorf("limits %+v", kept)
	}
	if unlimited.NetworkWrites != 0 || unlimited.Writes != kept.Writes || unlimited.Reads != kept.Reads || unlimited.Share != kept.Share {
		t.Errorf("without the network provider's: %+v", unlimited)
	}
}

// TestSettingsAreDocumented holds the list of settings against what the app reads.
func TestSettingsAreDocumented(t *testing.T) {
	var names []string
	for name, what := range settings {
		if what == "" {
			t.Errorf("%s says nothing of itself", name)
		}
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if name == "FUNCTIONS_CUSTOMHANDLER_PORT" || strings.Contains(settings[name], "one machine only") || strings.HasPrefix(settings[name], "the platform's") {
			continue // the host's, or not for a deployment
		}
		if !strings.Contains(example, name) && name != "PORTCULLIS_IDENTITY_CLIENT_ID" {
			t.Errorf("local.settings.json.example does not show %s", name)
		}
	}
}

// TestForwardedHeaders holds that nothing but true counts as true: whoever decides by it whose address is known must not guess.
func TestForwardedHeaders(t *testing.T) {
	for value, want := range map[string]bool{"unset": false, "": false, "false": false, "1": false, "yes": false, " true": false, "true,": false, "true": true, "True": true, "TRUE": true} {
		cfg, err := readConfig(environ(map[string]string{"ASPNETCORE_FORWARDEDHEADERS_ENABLED": value}))
		if err != nil || cfg.ForwardedHeaders != want {
			t.Errorf("%q: %v, %v, want %v", value, cfg.ForwardedHeaders, err, want)
		}
	}
}
