package coretest

import (
	"fmt"
	"strings"
	"time"

	"portcullis/core/store"
)

// Messages returns a message of each kind, and some that are as large and as nasty as a message can be: channels must write every one of them.
func Messages() []store.Message {
	nasty := `<script>alert("x")</script> & <!channel> <@U123> *b* _i_ [link](https://evil.example) {{DATE(2026-03-02T08:00:00Z,LONG)}} {{{x}}} ${title} :smile: "quoted" \back ‏Zoë №1 😀`
	var out []store.Message
	window := func(n int) store.ToldWindow {
		return store.ToldWindow{VM: machine(n), Port: uint16(22 + n), End: morning.Add(time.Hour), Sources: []string{"203.0.113.7/32", "2001:db8::/64"}, Dial: []string{"198.51.100.9:22"}}
	}
	for n, kind := range append(store.EventKinds(), "OfANewerVersion") {
		m := store.Message{Kind: kind, At: morning.Add(time.Minute), Subject: idAt(morning, n+1), Began: morning, Seq: n + 1, Grant: idAt(morning, n+1), Requestor: "ann@example.com", Justification: "look at the logs",
			Windows: []store.ToldWindow{window(0)}}
		switch kind {
		case store.EventRepaired, store.EventLockdown:
			m.Grant, m.Windows, m.Text = "", nil, "web-nsg: restored portcullis-deny-1"
		case store.EventApproved, store.EventDenied:
			m.By = "zoe@example.com"
		case store.EventEnded:
			m.Reason = "Expired"
		case store.EventCouldNotClose:
			m.Text = "a management lock forbids the write"
		}
		out = append(out, m)
	}
	huge := store.Message{Kind: store.EventOpen, At: morning, Subject: idAt(morning, 90), Began: morning, Seq: 1, Grant: idAt(morning, 90), Requestor: nasty, Justification: nasty, By: nasty, Reason: nasty, Text: nasty, More: 480}
	for n := range store.MaxToldWindows {
		w := window(n)
		w.VM.Name = strings.Repeat("long-name-", 6) + fmt.Sprint(n)
		for len(w.Sources) < store.MaxToldSources {
			w.Sources, w.Dial = append(w.Sources, "2001:db8:1111:2222:3333:4444:5555:6666/128"), append(w.Dial, "[2001:db8:1111:2222:3333:4444:5555:6666]:65535")
		}
		huge.Windows = append(huge.Windows, w)
	}
	longest := huge
	longest.Seq, longest.Requestor, longest.Justification, longest.By, longest.Reason, longest.Text = 2, strings.Repeat("&", 2000), strings.Repeat("<", 2000), strings.Repeat("😀", 2000), strings.Repeat("\"", 2000), strings.Repeat("\\", 2000)
	return append(out, huge, longest)
}
