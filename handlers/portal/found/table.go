package found

import (
	"io"
	"strconv"
	"time"

	"portcullis/core/store"
	"portcullis/handlers/portal/words"
	"portcullis/handlers/sheet"
)

// TableType is what the table is sent as.
const TableType = sheet.ContentType

// Write writes findings as CSV, one row each.
func Write(w io.Writer, list []store.Finding) error {
	out := sheet.New(w)
	if err := out.Write("kind", "severity", "title", "target", "rule", "virtualMachine", "resourceGroup", "subscription", "port", "message", "advice", "request", "since"); err != nil {
		return err
	}
	for _, f := range list {
		said, target, port := words.OfFinding(f.Kind), "", ""
		if !f.Target.IsZero() {
			target = f.Target.String()
		}
		if f.Port != 0 {
			port = strconv.Itoa(int(f.Port))
		}
		if err := out.Write(string(f.Kind), said.Level, said.Title, target, f.Rule, f.VM.Name, f.VM.ResourceGroup, f.VM.Subscription, port, words.Sentence(f.Message), said.Advice, f.Grant, f.Since.UTC().Format(time.RFC3339)); err != nil {
			return err
		}
	}
	return out.End()
}
