package main

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"portcullis/local/thirdparty"
)

// TestLicence checks that the notices say of Portcullis itself what README says: none as long as there is no LICENSE, and that one afterwards.
func TestLicence(t *testing.T) {
	own, err := licence(fstest.MapFS{"LICENSE": {Data: []byte("Do as you like.")}})
	if err != nil || !strings.Contains(own, "Do as you like.") || strings.Contains(own, "no licence") {
		t.Errorf("with a licence: %q, %v", own, err)
	}
	own, err = licence(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, err = os.Stat("../../LICENSE")
	without := errors.Is(err, fs.ErrNotExist)
	if said := strings.Contains(own, "no licence"); said != without || strings.Contains(string(readme), "No licence is given yet") != without {
		t.Errorf("there is no LICENSE: %v; the notices say so: %v; README has to agree", without, said)
	}
}

// TestText checks that each part and each of its texts is there, under its name.
func TestText(t *testing.T) {
	got := text("own\n", []thirdparty.Part{
		{Name: "example.com/x", Version: "v1.0.0", Licences: []string{"MIT"}, Texts: []thirdparty.Text{{Name: "LICENSE", Text: "one\r\ntwo\r\n"}, {Name: "a/NOTICE", Text: "three"}}},
		{Name: "htmx.org", Version: "2.0.0", NPM: true, Licences: []string{"0BSD"}, Texts: []thirdparty.Text{{Name: "LICENSE", Text: "four"}}},
		{Name: "std", Version: "go1.26.0", Licences: []string{"BSD-3-Clause"}},
	})
	for _, want := range []string{"Portcullis. own\n", "    example.com/x v1.0.0 (MIT)\n", "    htmx.org 2.0.0, from npm (0BSD)\n", "    Go's standard library go1.26.0 (BSD-3-Clause)\n",
		"\nexample.com/x v1.0.0: LICENSE\n" + rule + "\none\ntwo\n", "\nexample.com/x v1.0.0: a/NOTICE\n" + rule + "\nthree\n", "\nhtmx.org 2.0.0, from npm: LICENSE\n" + rule + "\nfour\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
}
