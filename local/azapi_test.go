package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What make check-azapi prepares: Terraform, or OpenTofu, and the folder of the real provider azapi.
var (
	terraformProgram = flag.String("terraform", "", "path of terraform or tofu to run TestAzapi with; empty: it is not run")
	azapiFolder      = flag.String("azapi", "", "folder that holds terraform-provider-azapi; empty: TestAzapi is not run")
)

// terraform is a root with the blocks of docs/clients.md for azapi.
type terraform struct {
	t   *testing.T
	dir string
	env []string
}

// newTerraform writes the root. Where azapi would ask the Azure CLI for a token, a program gives it the admin's: nobody signs in here.
func newTerraform(t *testing.T, r *rig, text ...string) *terraform {
	t.Helper()
	tf := &terraform{t: t, dir: t.TempDir()}
	bin := t.TempDir()
	token := strings.TrimPrefix(r.as("admin").Get("Authorization"), "Bearer ")
	answer := fmt.Sprintf(`{"accessToken":%q,"expiresOn":"2100-01-01 00:00:00.000000","expires_on":4102444800,"tokenType":"Bearer"}`, token)
	tf.write("main.tf", strings.Join(text, "\n"))
	for name, content := range map[string]string{
		"az":       "#!/bin/sh\necho '" + answer + "'\n",
		"cli.tfrc": fmt.Sprintf("disable_checkpoint = true\nprovider_installation {\n  dev_overrides {\n    \"azure/azapi\" = %q\n  }\n}\n", *azapiFolder),
	} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte(content), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, v := range r.environment(t) {
		if name, value, _ := strings.Cut(v, "="); name == "APP" || name == "AUDIENCE" || name == "VM" || name == "LOCATION" {
			tf.env = append(tf.env, "TF_VAR_"+strings.ToLower(name)+"="+value)
		}
		if !strings.HasPrefix(v, "ARM_") { // who runs this may be signed in elsewhere
			tf.env = append(tf.env, v)
		}
	}
	tf.env = append(tf.env, "PATH="+bin+":"+os.Getenv("PATH"), "TF_CLI_CONFIG_FILE="+filepath.Join(bin, "cli.tfrc"), "TF_IN_AUTOMATION=1", "TF_INPUT=0", "CHECKPOINT_DISABLE=1",
		"ARM_USE_MSI=false", "ARM_SUBSCRIPTION_ID="+strings.TrimPrefix(sub, "/subscriptions/"))
	return tf
}

func (tf *terraform) write(name, text string) {
	tf.t.Helper()
	if err := os.WriteFile(filepath.Join(tf.dir, name), []byte(text), 0o600); err != nil {
		tf.t.Fatal(err)
	}
}

// run returns the exit code and what is printed.
func (tf *terraform) run(args ...string) (int, string) {
	tf.t.Helper()
	c := exec.CommandContext(tf.t.Context(), *terraformProgram, append(args, "-no-color")...)
	var out bytes.Buffer
	c.Dir, c.Env, c.Stdout, c.Stderr = tf.dir, tf.env, &out, &out
	if err := c.Run(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		tf.t.Fatal(err)
	}
	return c.ProcessState.ExitCode(), out.String()
}

func (tf *terraform) must(want int, args ...string) string {
	tf.t.Helper()
	code, out := tf.run(args...)
	if code != want {
		tf.t.Fatalf("%s: exit %d, want %d\n%s", strings.Join(args, " "), code, want, out)
	}
	return out
}

// settled is that a plan has nothing to do: 0 says so, 2 that there are changes.
func (tf *terraform) settled() { tf.t.Helper(); tf.must(0, "plan", "-detailed-exitcode") }

// body has the policy be what the JSON says.
func (tf *terraform) body(properties string) {
	tf.t.Helper()
	tf.write("shape_override.tf", fmt.Sprintf("resource \"azapi_resource\" \"jit\" {\n  body = jsondecode(<<JSON\n{\"kind\":\"Basic\",\"properties\":%s}\nJSON\n  )\n}\n", properties))
}

// azapiRig is a machine, and the tagged blocks of docs/clients.md.
func azapiRig(t *testing.T) (*rig, map[string]string) {
	t.Helper()
	if *terraformProgram == "" || *azapiFolder == "" {
		t.Skip("NOT RUN: Terraform's azapi against this app; make check-azapi builds it and runs this")
	}
	t.Parallel()
	page, err := os.ReadFile(clientsGuide)
	if err != nil {
		t.Fatal(err)
	}
	return newRig(t, t.TempDir(), nil), blocks(t, string(page))
}

// Parts of a policy's body, as JSON.
const anywhere = `"allowedSourceAddressPrefix":"*"`

func all(machines ...string) string {
	return `{"virtualMachines":[` + strings.Join(machines, ",") + `]}`
}

func machine(name string, ports ...string) string {
	return fmt.Sprintf(`{"id":"%s/Microsoft.Compute/virtualMachines/%s","ports":[%s]}`, demo, name, strings.Join(ports, ","))
}

func port(number, source, most string) string {
	return fmt.Sprintf(`{"number":%s,"protocol":"TCP",%s,"maxRequestAccessDuration":%q}`, number, source, most)
}

// TestAzapi applies the blocks of docs/clients.md with the real azapi, and then policies in every form that people write and this app
// would write otherwise. After each apply the plan is empty, and what is changed is planned.
func TestAzapi(t *testing.T) {
	r, block := azapiRig(t)
	tf := newTerraform(t, r, block["azapi"], block["azapi-initiate"])
	tf.must(0, "apply", "-auto-approve")
	if !r.open("web-nsg") {
		t.Errorf("after initiate the rules are %q", r.rules("web-nsg"))
	}
	tf.settled()
	tf.write("main.tf", block["azapi"])
	tf.must(0, "apply", "-auto-approve")

	for _, row := range []struct{ name, properties string }{
		{"machines out of order", all(machine("web", port("22", anywhere, "PT3H")), machine("app2", port("22", anywhere, "PT3H")), machine("app1", port("22", anywhere, "PT3H")))},
		{"ports out of order", all(machine("web", port("3389", anywhere, "PT3H"), port("22", anywhere, "PT3H")))},
		{"24 hours", all(machine("web", port("22", anywhere, "PT24H")))},
		{"180 minutes", all(machine("web", port("22", anywhere, "PT180M")))},
		{"one address as a prefix", all(machine("web", port("22", `"allowedSourceAddressPrefix":"203.0.113.7/32"`, "PT3H")))},
		{"prefixes out of order", all(machine("web", port("22", `"allowedSourceAddressPrefixes":["203.0.113.0/24","198.51.100.7"]`, "PT3H")))},
		{"a prefix that another contains", all(machine("web", port("22", `"allowedSourceAddressPrefixes":["198.51.100.0/24","198.51.100.7","203.0.113.0/24"]`, "PT3H")))},
		{"a number as text", all(machine("web", port(`"22"`, anywhere, "PT3H")))},
		{"an id in another case", all(strings.Replace(machine("web", port("22", anywhere, "PT3H")), "resourceGroups/demo", "resourcegroups/DEMO", 1))},
		{"no machines", `{"virtualMachines":[]}`},
		{"all at once", all(machine("web", port(`"22"`, `"allowedSourceAddressPrefix":"203.0.113.7/32"`, "PT24H")), machine("app1", port("3389", `"allowedSourceAddressPrefixes":["203.0.113.0/24","198.51.100.0/24","198.51.100.7"]`, "PT180M")))},
	} {
		tf.body(row.properties)
		tf.must(2, "plan", "-detailed-exitcode") // it is another policy than the one before
		tf.must(0, "apply", "-auto-approve")
		tf.settled()
		t.Logf("%s: nothing to plan after the apply", row.name)
	}
	tf.must(0, "destroy", "-auto-approve")
	if code, answer := r.call("GET", "/api/machines?state=configured", nil); code != 200 || len(answer["value"].([]any)) != 0 {
		t.Errorf("after destroy: %d %v", code, answer)
	}
}
