package main

import (
	"io"
	"strings"
	"testing"
)

// TestFlagsRefused: what the command does not understand starts nothing.
func TestFlagsRefused(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"-setting", "PORTCULLIS_REQUIRE_JUSTIFICATION"}, {"-setting", "=on"}, {"-host", "fake"}} {
		err := run(t.Context(), args, func(string) string { return "x" }, io.Discard, io.Discard)
		if err == nil || strings.Contains(err.Error(), "PORT_BASE") {
			t.Errorf("%q: %v", args, err)
		}
	}
}
