package loopback_test

import (
	"testing"

	"portcullis/infra/loopback"
)

func TestLoopback(t *testing.T) {
	for _, tc := range []struct {
		host          string
		number, named bool
	}{
		{"", false, false},
		{"10.0.0.4", false, false},
		{"0.0.0.0", false, false},
		{"::", false, false},
		{"127.0.0.1.example.com", false, false},
		{"localhost.example.com", false, false},
		{"127.1", false, false},
		{"127.0.0.1:80", false, false},
		{"[::1]", false, false},
		{"169.254.169.254", false, false},
		{"localhost", false, true},
		{"LOCALHOST", false, true},
		{"127.0.0.1", true, true},
		{"127.255.255.254", true, true},
		{"::1", true, true},
		{"::ffff:127.0.0.1", true, true},
	} {
		if got := loopback.Number(tc.host); got != tc.number {
			t.Errorf("Number(%q) = %t", tc.host, got)
		}
		if got := loopback.Host(tc.host); got != tc.named {
			t.Errorf("Host(%q) = %t", tc.host, got)
		}
	}
}
