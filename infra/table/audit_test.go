package table_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"portcullis/core/store"
)

// What stands here is what docs/audit.md tells an auditor to do, written without
// the product's code.

func sha(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text))) }

func unhex(text string) []byte {
	out, err := hex.DecodeString(text)
	if err != nil {
		panic("not hexadecimal: " + text)
	}
	return out
}

func genesis(sub, date string) []byte {
	return unhex(sha("portcullis activity log 2\n" + sub + "\n" + date))
}

func netstring(text string) string { return fmt.Sprintf("%d:%s,", len(text), text) }

// auditorsHash gives the hash of an entry after another.
func auditorsHash(before []byte, d map[string]any) []byte {
	sum := sha256.Sum256(append(bytes.Clone(before), auditorsBytes(d)...))
	return sum[:]
}

func auditorsBytes(d map[string]any) string {
	text := func(name string) string { s, _ := d[name].(string); return s }
	list := func(name string) string {
		var out strings.Builder
		values, _ := d[name].([]any)
		for _, v := range values {
			out.WriteString(netstring(fmt.Sprint(v)))
		}
		return out.String()
	}
	var b strings.Builder
	b.WriteString(netstring(fmt.Sprint(d["Format"])))
	b.WriteString(netstring(fmt.Sprint(d["Seq"])))
	for _, name := range []string{"ID", "Time", "Operation", "Result", "VM", "Target", "Requestor", "Tenant", "Object", "Kind", "Client", "SignIn", "Address", "Grant"} {
		b.WriteString(netstring(text(name)))
	}
	b.WriteString(netstring(list("Ports")))
	b.WriteString(netstring(list("Sources")))
	for _, name := range []string{"End", "Justification", "Reason", "Message", "Correlation"} {
		b.WriteString(netstring(text(name)))
	}
	return b.String()
}

// TestAuditor recomputes a chain from the rows alone.
func TestAuditor(t *testing.T) {
	s, f := logged(t)
	odd := store.Entry{ID: "odd", Time: day.Add(time.Hour), Operation: store.OpRequest, Result: store.Refused, VM: vm(1), Requestor: "é\x80\xff",
		Ports: []uint16{22, 3389}, Sources: []string{"*", "2001:db8::/32"}, Message: "line\nline \u2028 </script> \U0001F512", Justification: strings.Repeat("long ", 20000)}
	if err := s.Append(t.Context(), odd); err != nil {
		t.Fatal(err)
	}
	hash := genesis(subscription, "2026-03-02")
	var last map[string]any
	for _, e := range f.chain(subscription) {
		last = doc(e)
		if hash = auditorsHash(hash, last); hex.EncodeToString(hash) != last["Hash"] {
			t.Fatalf("entry %v has the hash %v, the auditor computes %x", last["Seq"], last["Hash"], hash)
		}
	}
	if got := verify(t, s, subscription); got.FirstBroken != nil || got.Entries != 7 || got.Head != hex.EncodeToString(hash) {
		t.Errorf("%+v, the auditor computes %x", got, hash)
	}
	if last["Seq"] != 7.0 || doc(f.head(subscription))["Hash"] != hex.EncodeToString(hash) {
		t.Errorf("head %v", f.head(subscription))
	}
}

// TestWorkedExample recomputes the example in docs/audit.md, and holds that the store writes it so.
func TestWorkedExample(t *testing.T) {
	text, err := os.ReadFile("../../docs/audit.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, ok := strings.Cut(string(text), "```json\n")
	example, _, closed := strings.Cut(example, "\n```")
	if !ok || !closed {
		t.Fatal("docs/audit.md holds no example")
	}
	_, f := logged(t)
	hash := genesis(subscription, "2026-03-02")
	written := f.chain(subscription)
	lines := strings.Split(example, "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines of example", len(lines))
	}
	for i, line := range lines {
		if line != written[i]["Doc"] {
			t.Errorf("the example says\n%s\nand the store writes\n%s", line, written[i]["Doc"])
		}
		var d map[string]any
		if err := json.Unmarshal([]byte(line), &d); err != nil {
			t.Fatal(err)
		}
		if i == 0 && !strings.Contains(string(text), "\n    "+auditorsBytes(d)+"\n") {
			t.Errorf("docs/audit.md does not say %s", auditorsBytes(d))
		}
		if hash = auditorsHash(hash, d); hex.EncodeToString(hash) != d["Hash"] {
			t.Errorf("entry %d: the example says %s, computed %x", i+1, d["Hash"], hash)
		}
	}
	for _, want := range []string{hex.EncodeToString(genesis(subscription, "2026-03-02")), hex.EncodeToString(hash)} {
		if !strings.Contains(string(text), want) {
			t.Errorf("docs/audit.md does not say %s", want)
		}
	}
}
