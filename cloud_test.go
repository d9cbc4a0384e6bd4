package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/tracing"
	"github.com/google/go-cmp/cmp"
)

// TestClouds checks that one setting selects everything: what it selects for each cloud, and that endpoints of
// other clouds are refused.
func TestClouds(t *testing.T) {
	type picked struct{ ARM, Audience, Authority string }
	want := map[string]picked{
		"AzurePublic":       {"https://management.azure.com", "https://management.core.windows.net/", "https://login.microsoftonline.com"},
		"AzureUSGovernment": {"https://management.usgovcloudapi.net", "https://management.core.usgovcloudapi.net/", "https://login.microsoftonline.us"},
		"AzureChina":        {"https://management.chinacloudapi.cn", "https://management.core.chinacloudapi.cn/", "https://login.partner.microsoftonline.cn"},
	}
	tables := map[string]string{
		"https://example.table.core.windows.net":        "AzurePublic",
		"https://example.z12.table.storage.azure.net":   "AzurePublic",
		"https://example.table.core.usgovcloudapi.net":  "AzureUSGovernment",
		"https://example.table.core.chinacloudapi.cn":   "AzureChina",
		"https://EXAMPLE.table.core.windows.net":        "AzurePublic",
		"https://example.table.core.windows.net.evil.x": "",
		"https://table.core.windows.net":                "",
		"https://example.table.cosmos.azure.com":        "",
		"https://example.blob.core.windows.net":         "",
	}
	buses := map[string]string{
		"example.servicebus.windows.net":       "AzurePublic",
		"example.servicebus.usgovcloudapi.net": "AzureUSGovernment",
		"example.servicebus.chinacloudapi.cn":  "AzureChina",
		"example.servicebus.windows.net.evil":  "",
		".servicebus.windows.net":              "",
	}
	for cloud, place := range clouds() {
		t.Run(cloud, func(t *testing.T) {
			var table, bus string
			for endpoint, of := range tables {
				if of == cloud && strings.Contains(endpoint, "//example.table") {
					table = endpoint
				}
			}
			for namespace, of := range buses {
				if of == cloud {
					bus = namespace
				}
			}
			cfg, err := readConfig(environ(map[string]string{"PORTCULLIS_CLOUD": cloud, "PORTCULLIS_TABLE_ENDPOINT": table, "ServiceBus__fullyQualifiedNamespace": bus}))
			if err != nil {
				t.Fatal(err)
			}
			n, r := nsgOf(cfg, tracing.Provider{}), rbacOf(cfg, tracing.Provider{})
			got := picked{n.Endpoint, n.Audience, identityOf(cfg).Authority}
			if diff := cmp.Diff(want[cloud], got); diff != "" {
				t.Errorf("picked (-want +got):\n%s", diff)
			}
			if r.Endpoint != n.Endpoint || r.Audience != n.Audience {
				t.Errorf("permissions are read from %s, rules from %s", r.Endpoint, n.Endpoint)
			}
			if place.configuration.ActiveDirectoryAuthorityHost == "" {
				t.Error("the SDK has no authority for it")
			}
			for endpoint, of := range tables {
				_, err := readConfig(environ(map[string]string{"PORTCULLIS_CLOUD": cloud, "PORTCULLIS_TABLE_ENDPOINT": endpoint, "ServiceBus__fullyQualifiedNamespace": bus}))
				if (err == nil) != (of == cloud) || err != nil && !strings.Contains(err.Error(), "PORTCULLIS_TABLE_ENDPOINT") {
					t.Errorf("table endpoint %s: %v", endpoint, err)
				}
			}
			for namespace, of := range buses {
				_, err := readConfig(environ(map[string]string{"PORTCULLIS_CLOUD": cloud, "PORTCULLIS_TABLE_ENDPOINT": table, "ServiceBus__fullyQualifiedNamespace": namespace}))
				if (err == nil) != (of == cloud) || err != nil && !strings.Contains(err.Error(), "ServiceBus__fullyQualifiedNamespace") {
					t.Errorf("namespace %s: %v", namespace, err)
				}
			}
		})
	}
}

// TestDeploymentSettings checks that the deployment sets what the app reads, sets nothing unknown, and names the
// clouds in the same way.
func TestDeploymentSettings(t *testing.T) {
	text, err := os.ReadFile("infra/deploy/site.tf")
	if err != nil {
		t.Fatal(err)
	}
	block, _, _ := strings.Cut(string(text), "host_settings")
	var got []string
	for _, m := range regexp.MustCompile(`(?m)^    (\w+) +=`).FindAllStringSubmatch(block, -1) {
		got = append(got, m[1])
	}
	known := map[string]use{}
	for _, s := range settings() {
		known[s.name] = s.use
		if s.use == deployed && !slices.Contains(got, s.name) {
			t.Errorf("infra/deploy/site.tf does not set %s", s.name)
		}
	}
	for _, name := range got {
		if u := known[name]; u == 0 || u == oneMachine {
			t.Errorf("infra/deploy/site.tf sets %s, which a deployed app does not read", name)
		}
	}
	if text, err = os.ReadFile("infra/deploy/locals.tf"); err != nil {
		t.Fatal(err)
	}
	for name, in := range clouds() {
		line := regexp.MustCompile(name + ` += \{ authority = "([^"]+)", bus = "([^"]+)", storage = "([^"]+)", `).FindSubmatch(text)
		if line == nil || string(line[1]) != in.authority || "."+string(line[2]) != in.bus || !slices.Contains(in.tables, ".table."+string(line[3])) {
			t.Errorf("infra/deploy/locals.tf has %q for %s, cloud.go %s and %s", line, name, in.authority, in.bus)
		}
	}
}
