package find_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"portcullis/cmd/portcullis/exit"
	"portcullis/cmd/portcullis/find"
	"portcullis/handlers/api"
)

// list is machines, by group/name, with tags behind a semicolon, of which the app gives those that have q in any of that.
type list []string

func (l list) AllMachines(_ context.Context, q url.Values, _ int) (out api.MachinesAnswer, _ error) {
	for _, name := range l {
		group, short, _ := strings.Cut(name, "/")
		short, tags, _ := strings.Cut(short, ";")
		m := api.Machine{Tags: tagsOf(tags), ID: id(group, short), Name: short, ResourceGroup: group, Location: "westeurope", Connection: &api.Connection{Hosts: []string{"10.0.0.7"}}}
		if strings.Contains(strings.ToLower(name), strings.ToLower(q.Get("q"))) && (q.Get("vm") == "" || strings.EqualFold(q.Get("vm"), m.ID)) {
			out.Value = append(out.Value, m)
		}
	}
	return out, nil
}

func tagsOf(text string) map[string]string {
	out := map[string]string{}
	for _, t := range strings.Fields(text) {
		name, value, _ := strings.Cut(t, "=")
		out[name] = value
	}
	return out
}

func id(group, name string) string {
	return "/subscriptions/00000000-0000-0000-0000-00000000d3e0/resourceGroups/" + group + "/providers/Microsoft.Compute/virtualMachines/" + name
}

// TestMachine: one machine, or why none.
func TestMachine(t *testing.T) {
	t.Parallel()
	var many list
	for i := range 12 {
		many = append(many, fmt.Sprintf("g%d/twin", i))
	}
	tagged := list{"prod/web;team=shop env=prod", "prod/db;env=prod", "test/evil;env=test"}
	some := list{"prod/web", "test/web", "prod/web2", "prod/db-primary", "prod/db-replica", "prod/it's \"quoted\"", "prod/-rf"}
	for _, row := range []struct {
		from  list
		asked string
		want  string // the group and name, or what the error says
	}{
		{some, "", "no machine is named"},
		{some, "   ", "no machine is named"},
		{some, "wbe", `called "wbe"; the nearest names are web, web2, -rf`},
		{some, "db-prmary", `the nearest names are db-primary, `},
		{list{}, "web", "portcullis machines lists those that you may see"},
		{some, "web", `"web" is 2 machines; add a word of the resource group`},
		{some, "WEB", `"WEB" is 2 machines`},
		{some, "db", `"db" is 2 machines`},
		{many, "twin", "and 2 more"},
		{some, "/subscriptions/x", "is not the resource id of a virtual machine"},
		{some, strings.Replace(id("prod", "web"), "virtualMachines", "disks", 1), "is not the resource id of a virtual machine"},
		{some, id("prod", "none"), "no machine that you may see"},
		{some, `web"; id; "`, `called "web\"; id; \""`},
		{some, "prod web", "prod/web"}, // and not web2, of which both words are a part too
		{some, "test web", "test/web"},
		{some, "web2", "prod/web2"},
		{tagged, "env=prod", `"env=prod" is 2 machines`},
		{tagged, "env=none", `called "env=none"`},
		{tagged, "env=pro", `called "env=pro"`},
		{tagged, "=prod", `called "=prod"`},
		{tagged, "shop", `called "shop"`}, // a value alone is no word
		{tagged, "ENV=Prod team=", "prod/web"},
		{tagged, "env=prod db", "prod/db"},
		{some, "primary", "prod/db-primary"},
		{some, "WESTEUROPE replica", "prod/db-replica"},
		{some, "10.0.0.7 replica", "prod/db-replica"},
		{some, "it's \"quoted\"", "prod/it's \"quoted\""},
		{some, "-rf", "prod/-rf"},
		{some, strings.ToUpper(id("prod", "web2")), "prod/web2"},
		{some, " " + id("prod", "web") + "\n", "prod/web"},
	} {
		got, err := find.Machine(t.Context(), row.from, row.asked)
		if err != nil {
			if !strings.Contains(err.Error(), row.want) || exit.Of(err) != exit.Usage {
				t.Errorf("%q: exit code %d: %v, want %q", row.asked, exit.Of(err), err, row.want)
			}
		} else if got.ResourceGroup+"/"+got.Name != row.want {
			t.Errorf("%q is %s/%s, want %q", row.asked, got.ResourceGroup, got.Name, row.want)
		}
	}
}

// broken is an app that does not answer.
type broken struct{}

var errBroken = errors.New("broken")

func (broken) AllMachines(context.Context, url.Values, int) (api.MachinesAnswer, error) {
	return api.MachinesAnswer{}, errBroken
}

// TestNotAnswered: that nobody answers is not that there is no such machine.
func TestNotAnswered(t *testing.T) {
	t.Parallel()
	for _, asked := range []string{"web", id("prod", "web")} {
		if _, err := find.Machine(t.Context(), broken{}, asked); !errors.Is(err, errBroken) {
			t.Errorf("%q: %v", asked, err)
		}
	}
}
