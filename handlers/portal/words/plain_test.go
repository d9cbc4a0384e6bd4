package words_test

import (
	"testing"

	"portcullis/handlers/portal/words"
)

// TestSentencesAreForPeople: no message shows an instant or an id as programs write it.
func TestSentencesAreForPeople(t *testing.T) {
	const id = "/subscriptions/00000000-0000-0000-0000-00000000d3e0/resourceGroups/demo/providers/Microsoft.Compute/virtualMachines/web"
	for said, want := range map[string]string{
		"the request already ends at 2026-11-23T14:00:00Z":                   "The request already ends at 23 Nov 2026, 14:00:00 UTC.",
		"too few have approved it until 2026-11-23T15:00:00.25+01:00; again": "Too few have approved it until 23 Nov 2026, 14:00:00 UTC; again.",
		"there is no policy of " + id:                                        "There is no policy of web.",
		"the rule of " + id + ", which is here, and of " + id + ".":          "The rule of web, which is here, and of web.",
		"web is at 2026-11-23, whatever the hour":                            "web is at 2026-11-23, whatever the hour.",
		"": "",
	} {
		if got := words.Sentence(said); got != want {
			t.Errorf("%q is %q, want %q", said, got, want)
		}
	}
}
