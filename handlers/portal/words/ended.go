package words

import (
	"fmt"
	"strings"

	"portcullis/core/jit"
	"portcullis/core/store"
)

// Ended writes the windows that a change of policies ends, or ends earlier, one line for each machine of a request and end.
func Ended(grants []jit.Grant) []string {
	var out []string
	for _, g := range grants {
		for _, vm := range g.VMs {
			numbers, ends := map[string][]string{}, []string{}
			for _, w := range vm.Ports {
				end := "closes"
				if w.Status == jit.Initiating || w.Status == jit.Initiated {
					end = "ends at " + When(w.End)
				}
				if numbers[end] == nil {
					ends = append(ends, end)
				}
				numbers[end] = append(numbers[end], fmt.Sprint(w.Number))
			}
			for _, end := range ends {
				out = append(out, fmt.Sprintf("port %s of %s, which %s opened, %s", strings.Join(numbers[end], ", "), vm.VM.Name, g.Requestor, end))
			}
		}
	}
	return out
}

// Replaced writes a window whose place a newer request takes.
func Replaced(r store.Replaced) string {
	return fmt.Sprintf("port %d of %s, until %s", r.Port, r.VM.Name, When(r.End))
}
