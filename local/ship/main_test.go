package main

import (
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
)

// TestFits checks that a program which has grown beyond its bound is refused.
func TestFits(t *testing.T) {
	file := filepath.Join(t.TempDir(), "program")
	if _, err := fits(file, 10); err == nil {
		t.Error("a program that is not there fits")
	}
	if err := os.WriteFile(file, make([]byte, 11), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := fits(file, 10); err == nil {
		t.Error("a program of 11 bytes fits into 10")
	}
	if n, err := fits(file, 11); n != 11 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
}

// TestSums checks the form of the checksums, also of what is in a folder.
func TestSums(t *testing.T) {
	got, err := sumsOf(fstest.MapFS{"b": {Data: []byte("b")}, "a/c": {}})
	const empty, b = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d"
	if want := empty + "  a/c\n" + b + "  b\n"; got != want || err != nil {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
}
