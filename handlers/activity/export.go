package activity

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"portcullis/core/jit"
	"portcullis/core/store"
	"portcullis/handlers/arrival"
	"portcullis/handlers/sheet"
	"portcullis/handlers/wire"
)

// What one download holds: entries, and pages of the log that are looked through for
// them, since the caller may be let see few of many.
const (
	exportMost  = 50_000
	exportPages = 500
	exportPage  = 1000
)

// exporter writes entries in one format.
type exporter interface {
	name() string // of the format: the end of a file's name
	contentType() string
	begin() error
	add(wire.Entry) error
	// cut says, in the last line, why the entries end here although there are more.
	cut(why string) error
	end() error
}

// export streams the entries that match, newest first. A download that is not whole
// says so in its last line, whose operation is [exportCut].
func (f Face) export(w http.ResponseWriter, r *http.Request, who jit.Caller, filter store.EntryFilter, format func(io.Writer) exporter) error {
	entries, cursor, err := f.Inventory.Entries(r.Context(), who, filter, "", exportPage)
	if err != nil {
		return err
	}
	out := format(w)
	h := w.Header()
	h.Set("Content-Type", out.contentType())
	h.Set("Content-Disposition", fmt.Sprintf(`attachment; filename="portcullis-activity-%s.%s"`, f.Now().UTC().Format("20060102T150405Z"), out.name()))
	w.WriteHeader(http.StatusOK)
	why, err := f.stream(r, who, filter, out, entries, cursor)
	if err != nil {
		return nil // the status is sent, and the caller is gone
	}
	if why != "" {
		err = out.cut(why)
	}
	if err == nil {
		_ = out.end()
	}
	return nil
}

// stream writes the pages from the first one on. It gives why not all are written, "" where they
// are; an error means that nothing can be written any more.
func (f Face) stream(r *http.Request, who jit.Caller, filter store.EntryFilter, out exporter, entries []store.Entry, cursor string) (string, error) {
	if err := out.begin(); err != nil {
		return "", err
	}
	written := 0
	for page := 1; ; page++ {
		for _, e := range entries {
			if written == exportMost {
				return fmt.Sprintf("only the newest %d entries are here; ask again with to=%s for the rest", written, wire.Stamp(e.Time.Add(time.Millisecond))), nil
			}
			if err := out.add(wire.ToEntry(e)); err != nil {
				return "", err
			}
			written++
		}
		if cursor == "" {
			return "", nil
		}
		if page == exportPages {
			return "there is more of the log than one download looks through; ask again for a shorter time", nil
		}
		var err error
		if entries, cursor, err = f.Inventory.Entries(r.Context(), who, filter, cursor, exportPage); err != nil {
			f.Log.Error("export broke off", "invocation", arrival.Invocation(r.Context()), "error", err.Error())
			return "the log could not be read further; download it again", nil
		}
	}
}

// exportCut is the operation of the last line of a download that is not whole.
const exportCut = "ExportCut"

// csvExporter writes RFC 4180. Cells that a spreadsheet could take for formulas are made safe.
type csvExporter struct{ *sheet.Writer }

func newCSV(w io.Writer) exporter { return csvExporter{sheet.New(w)} }

const csvColumns = "time,subscription,resourceGroup,virtualMachine,operation,result,requestor,requestorTenantId,requestorObjectId,requestorKind,clientId,authenticationMethods,callerAddress,sourceAddressPrefixes,ports,endTimeUtc,justification,correlationId,target,request,reason,message,id"

func (c csvExporter) name() string        { return "csv" }
func (c csvExporter) contentType() string { return sheet.ContentType }
func (c csvExporter) begin() error        { return c.Write(strings.Split(csvColumns, ",")...) }

func (c csvExporter) add(e wire.Entry) error {
	var ports []string
	for _, p := range e.Ports {
		ports = append(ports, fmt.Sprint(p))
	}
	cells := []string{e.Time, e.Subscription, e.ResourceGroup, e.VM, e.Operation, e.Result, e.Requestor, e.Tenant, e.Object, e.Kind, e.Client, strings.Join(e.SignIn, " "), e.Address, strings.Join(e.Sources, " "), strings.Join(ports, " "), e.End,
		e.Justification, e.Correlation, e.Target, e.Grant, e.Reason, e.Message, e.ID}
	return c.Write(cells...)
}

func (c csvExporter) cut(why string) error {
	return c.add(wire.Entry{Operation: exportCut, Message: why})
}

func (c csvExporter) end() error { return c.End() }

// lineExporter writes JSON lines: the entries as the list has them.
type lineExporter struct{ io.Writer }

func newLines(w io.Writer) exporter { return lineExporter{w} }

func (l lineExporter) name() string        { return "jsonl" }
func (l lineExporter) contentType() string { return "application/x-ndjson; charset=utf-8" }
func (l lineExporter) begin() error        { return nil }
func (l lineExporter) end() error          { return nil }

func (l lineExporter) add(e wire.Entry) error {
	text, err := json.Marshal(e, json.FormatNilSliceAsNull(false), jsontext.EscapeForHTML(true), jsontext.EscapeForJS(true)) // no U+2028, at which some end a line
	if err == nil {
		_, err = l.Write(append(text, '\n'))
	}
	return err
}

func (l lineExporter) cut(why string) error {
	return l.add(wire.Entry{Operation: exportCut, Message: why})
}
