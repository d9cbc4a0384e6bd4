package handlers_test

import (
	"runtime"
	"strings"
	"testing"
)

// TestCrowdedBodies: a body of values that say nothing is counted before anything is made of it: it is refused by name, and costs no more
// memory than a few times its size. Each value takes two to five bytes, and what is made of one takes a hundred and more.
func TestCrowdedBodies(t *testing.T) {
	const most = 1 << 20
	for _, value := range []string{"{}", "null", "[]", "0", `""`} {
		values := "[" + strings.Repeat(value+",", (most-200)/(len(value)+1)-1) + value + "]"
		for _, c := range []struct{ method, path, before, after string }{
			{"POST", "/api/enable", `{"virtualMachines":`, `}`},
			{"POST", "/api/enable?dryRun=true", `{"virtualMachines":[{"ports":`, `}]}`},
			{"POST", "/api/disable", `{"virtualMachines":`, `}`},
			{"POST", "/api/request", `{"virtualMachines":`, `}`},
			{"POST", "/api/request", `{"virtualMachines":[{"ports":`, `}]}`},
			{"POST", "/api/import", `{"value":`, `}`},
			{"POST", "/api/import", `{"value":[{"properties":{"virtualMachines":`, `}}]}`},
			{"PUT", policy + version, `{"properties":{"virtualMachines":`, `}}`},
			{"POST", policy + "/initiate" + version, `{"virtualMachines":`, `}`},
		} {
			a, n := newCounted(t)
			body := c.before + values + c.after
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			r := a.call(c.method, c.path, body)
			runtime.ReadMemStats(&after)
			if code, target := r.code(); r.status != 400 || code == "" || target == "" || n.cloud.Load()+n.rights.Load() != 0 {
				t.Errorf("%s of %s: %d %s", c.path, value, r.status, r.text)
			}
			if took := after.TotalAlloc - before.TotalAlloc; took > 16*most {
				t.Errorf("%s%s of %s allocates %d MiB", c.path, c.before, value, took>>20)
			} else if value == "{}" {
				t.Logf("%s%s: %.1f MiB", c.path, c.before, float64(took)/most)
			}
		}
	}
}
