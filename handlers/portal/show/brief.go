package show

import (
	"strings"

	"portcullis/handlers/portal/words"
)

// few is how many of the machines of a request, and of the ways to connect to them, a line has room for. The request itself shows all.
const few = 3

// briefly writes the first of a list and how many there are beside: of a thing and of no other.
func briefly(list []string, between, thing string) string {
	if len(list) <= few {
		return strings.Join(list, between)
	}
	return strings.Join(list[:few-1], between) + " and " + words.Counted(len(list)-few+1, "more "+thing, "more "+thing+"s")
}

// Names are the names of its machines, such as "web, app1" or "web, app1 and 48 more machines".
func (v Grant) Names() string {
	var names []string
	for _, vm := range v.VMs {
		names = append(names, vm.Name)
	}
	return briefly(names, ", ", "machine")
}

// Reached is how its ports are reached, as far as a line has room.
type Reached struct {
	Dial  []Dial
	Ports []GrantPort // of which nobody knows how, or that are not open yet
	More  int         // that are left out
}

// Reached returns the first ways to its ports.
func (v Grant) Reached() Reached {
	var out Reached
	for _, vm := range v.VMs {
		for _, p := range vm.Ports {
			room := few - len(out.Dial) - len(out.Ports)
			if len(p.Dial) == 0 && room > 0 {
				out.Ports = append(out.Ports, p)
			} else if len(p.Dial) == 0 {
				out.More++
			}
			n := min(len(p.Dial), max(room, 0))
			out.Dial = append(out.Dial, p.Dial[:n]...)
			out.More += len(p.Dial) - n
		}
	}
	return out
}
