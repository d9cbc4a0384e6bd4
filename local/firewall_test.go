package main

const behindfw = demo + "/Microsoft.Compute/virtualMachines/behindfw"

// askOf is a request for port 22 of a machine.
func askOf(vm, length, why string) map[string]any {
	return map[string]any{"justification": why, "virtualMachines": []any{map[string]any{"id": vm,
		"ports": []any{map[string]any{"number": 22, "duration": length, "allowedSourceAddressPrefix": "203.0.113.7"}}}}}
}
