package audit

import (
	"io"
	"strconv"
	"strings"
	"time"

	"portcullis/core/store"
	"portcullis/handlers/portal/words"
	"portcullis/handlers/sheet"
)

func instant(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// WriteWindows writes windows as CSV, one row each; link gives the address of a request. Where there are more than these, the last row says so.
func WriteWindows(w io.Writer, list []Window, cut bool, link func(grant string) string) error {
	out := sheet.New(w)
	err := out.Write("requestor", "requestorObjectId", "virtualMachine", "resourceGroup", "subscription", "port", "protocol", "from", "state", "asked", "opened", "until", "closed", "closedBy", "reason", "justification", "request", "link")
	for _, r := range list {
		if err != nil {
			return err
		}
		err = out.Write(r.Who, r.Object, r.VM.Name, r.VM.ResourceGroup, r.VM.Subscription, strconv.Itoa(int(r.Port)), r.Protocol, r.Sources, r.State, instant(r.Asked), instant(r.Opened), instant(r.Until), instant(r.Closed),
			r.By, r.Reason, r.Why, r.Grant, link(r.Grant))
	}
	if err == nil && cut {
		err = out.Write("there are more than one report holds; ask again for a shorter time")
	}
	if err != nil {
		return err
	}
	return out.End()
}

// WriteEntries writes lines of the log as CSV. Where there are more than these, the last row says so.
func WriteEntries(w io.Writer, list []store.Entry, cut bool) error {
	out := sheet.New(w)
	err := out.Write("time", "operation", "result", "virtualMachine", "resourceGroup", "subscription", "target", "requestor", "requestorObjectId", "ports", "from", "until", "justification", "reason", "message", "request")
	for _, e := range list {
		if err != nil {
			return err
		}
		var ports []string
		for _, p := range e.Ports {
			ports = append(ports, strconv.Itoa(int(p)))
		}
		err = out.Write(instant(e.Time), string(e.Operation), string(e.Result), e.VM.Name, e.VM.ResourceGroup, e.VM.Subscription, e.Target.Name, e.Requestor, e.Actor.Object, strings.Join(ports, " "), strings.Join(e.Sources, " "),
			instant(e.End), e.Justification, words.Reason(e.Reason), words.WithoutCode(e.Message), e.Grant)
	}
	if err == nil && cut {
		err = out.Write("there is more of the log than one download looks through; ask again for a shorter time")
	}
	if err != nil {
		return err
	}
	return out.End()
}
