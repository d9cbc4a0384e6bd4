package attack

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

const (
	dual     = machines + "dual" // of which the policy has a widest prefix while a row needs one
	together = "SourcesTooManyTogether"
)

// allBut gives the 32 prefixes that hold every address of IPv4 but 203.0.113.7.
func allBut() []string {
	const kept = 203<<24 | 0<<16 | 113<<8 | 7
	var out []string
	for bits := 1; bits <= 32; bits++ {
		n := uint32(kept)>>(32-bits)<<(32-bits) ^ 1<<(32-bits)
		out = append(out, fmt.Sprintf("%d.%d.%d.%d/%d", n>>24, n>>16&255, n>>8&255, n&255, bits))
	}
	return out
}

// every gives n prefixes of the length /24, every step'th from the first.
func every(first, step, n int) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf("198.51.%d.0/24", first+step*i))
	}
	return out
}

// sources is A: a demand holds for what is let in, however it is written and in however many requests.
func sources() []attack {
	var rows []attack
	for name, all := range map[string][]string{
		"all of public IPv6": {"2000::/3"}, "half of IPv4": {"0.0.0.0/1"}, "the other half": {"128.0.0.0/1"}, "both halves": {"0.0.0.0/1", "128.0.0.0/1"}, "all but one address": allBut(),
		"two parts of a range that is too large": {"16.0.0.0/9", "16.128.0.0/8"}, "a registry's range": {"2a00::/12"}, "IPv4 mapped into IPv6": {"::ffff:0:0/96"},
	} {
		for _, path := range []string{"/api/request?dryRun=true", "/api/request"} {
			rows = append(rows, attack{letter: "A", name: name + " at " + path, as: "requester", path: path, body: asking(web, 22, "x", all...), status: 400, reads: 20, table: 30, rows: line})
		}
	}
	return append(rows,
		attack{letter: "A", name: "one piece after the other", reads: 60, rows: 80, figure: "half of IPv4 after the other half", before: "open to all of IPv4", do: func(t *testing.T, s *stack, _ *figures) {
			id := s.opened(t, "requester", asking(web, 22, "the first piece", "16.0.0.0/8"))
			defer s.closed("requester", id)
			for _, path := range []string{"/api/request?dryRun=true", "/api/request"} {
				refusedWith(t, s.call("requester", "POST", path, asking(web, 22, "the second piece", "17.0.0.0/8")), together)
			}
			other := s.opened(t, "asker2", asking(app2, 22, "others are not refused for it", "203.0.113.9"))
			s.closed("asker2", other)
		}},
		attack{letter: "A", name: "two pieces at the same moment", reads: 100, rows: 100, do: func(t *testing.T, s *stack, _ *figures) {
			header := s.as("requester")
			var open []string
			var mu sync.Mutex
			var both sync.WaitGroup
			for _, piece := range []string{"18.0.0.0/8", "19.0.0.0/8"} {
				both.Go(func() {
					r, err := try(t.Context(), s.app, "POST", "/api/request", header, asking(web, 22, "a piece", piece))
					mu.Lock()
					defer mu.Unlock()
					if id, _ := r.object()["id"].(string); err == nil && r.status == 200 {
						open = append(open, id)
					} else if err != nil || r.status != 400 && r.status != 409 {
						t.Errorf("%v %d %.300s", err, r.status, r.text)
					}
				})
			}
			both.Wait()
			if len(open) > 1 {
				t.Errorf("both pieces are open: %v", open)
			}
			s.closed("requester", open...)
		}},
		attack{letter: "A", name: "pieces of a widest prefix", reads: 200, rows: 200, do: widest},
	)
}

// refusedWith holds that a call was refused with a code.
func refusedWith(t *testing.T, r reply, codes ...string) {
	t.Helper()
	code, _ := r.code()
	if r.status != 400 || !strings.Contains(" "+strings.Join(codes, " ")+" ", " "+code+" ") {
		t.Errorf("%d %.300s, want one of %v", r.status, r.text, codes)
	}
	clean(t, r)
}

// widest asks for a large range in pieces of the widest prefix. A stricter demand ends what it would refuse.
func widest(t *testing.T, s *stack, _ *figures) {
	demanding := `{"virtualMachines":[{"id":"` + dual + `","options":{"widestIPv4Prefix":24,"widestIPv6Prefix":64}}]}`
	s.must(200, "admin", "POST", "/api/enable", named(dual))
	defer s.must(200, "admin", "POST", "/api/disable", named(dual))
	before := s.opened(t, "requester", asking(dual, 3389, "before the demand", every(1, 2, 20)...))
	s.must(200, "admin", "POST", "/api/enable", demanding)
	refusedWith(t, s.call("requester", "POST", "/api/request", asking(dual, 22, "alternate ranges", every(1, 2, 100)...)), together)
	refusedWith(t, s.call("requester", "POST", "/api/request", asking(dual, 22, "neighbours", every(2, 1, 2)...)), "SourceTooWide", together)
	id := s.opened(t, "requester", asking(dual, 22, "as many as are allowed", every(1, 2, 4)...))
	refusedWith(t, s.call("requester", "POST", "/api/request", asking(dual, 22, "those between", every(2, 2, 4)...)), together, "SourceTooWide")
	s.closed("requester", id)

	if stands := s.must(200, "requester", "GET", "/api/requests/"+before, "").text; !strings.Contains(stands, "PolicyChanged") {
		t.Errorf("a window that the policy would refuse now is still open: %.600s", stands)
	}
}
