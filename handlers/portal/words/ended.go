package words

import (
	"fmt"
	"strings"

	"portcullis/core/jit"
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
