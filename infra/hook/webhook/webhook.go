// Package webhook tells any receiver in CloudEvents 1.0, structured JSON (https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md): a
// system of one's own, an Event Grid topic with that schema, or a Logic App that sends mail (infra/deploy/logic-apps). The envelope is small and written here; the tests read it
// with the specification's own SDK.
package webhook

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"portcullis/core/store"
	"portcullis/core/tell"
	"portcullis/infra/hook"
)

var _ tell.Channel = (*Channel)(nil)

// ContentType is that of an event.
const ContentType = "application/cloudevents+json; charset=utf-8"

// Channel posts events.
type Channel struct {
	Client *hook.Client
	Source string // what tells this installation from others, such as the address of its page
}

// Event is what is posted. The id is the same whenever the event is told again.
type Event struct {
	SpecVersion     string    `json:"specversion"`
	ID              string    `json:"id"`
	Source          string    `json:"source"`
	Type            string    `json:"type"` // portcullis. and the kind
	Subject         string    `json:"subject"`
	Time            time.Time `json:"time"`
	DataContentType string    `json:"datacontenttype"`
	Data            Data      `json:"data"`
}

// Data is an event's data. Title and Text are for people; plain text.
type Data struct {
	Kind          store.EventKind `json:"kind"`
	Title         string          `json:"title"`
	Text          string          `json:"text"`
	Link          string          `json:"link,omitempty"` // of the page; it does nothing by itself
	Request       string          `json:"request,omitempty"`
	Requestor     string          `json:"requestor,omitempty"`
	Justification string          `json:"justification,omitempty"`
	By            string          `json:"by,omitempty"`
	Reason        string          `json:"reason,omitempty"`
	Windows       []Window        `json:"windows,omitempty"`
	MoreWindows   int             `json:"moreWindows,omitempty"` // that are left out
}

// Window is one port of one machine.
type Window struct {
	VirtualMachine string    `json:"virtualMachine"`
	Port           uint16    `json:"port"`
	EndTimeUTC     time.Time `json:"endTimeUtc"`
	Sources        []string  `json:"sources,omitempty"`
	Dial           []string  `json:"dial,omitempty"`
}

// Send implements [tell.Channel].
func (c *Channel) Send(ctx context.Context, card tell.Card) error {
	body, err := json.Marshal(EventOf(card, c.Source))
	if err != nil {
		return fmt.Errorf("write the event: %w", err)
	}
	return c.Client.Post(ctx, ContentType, body)
}

// EventOf returns the event of a card.
func EventOf(card tell.Card, source string) Event {
	m := card.Message
	d := Data{Kind: m.Kind, Title: card.Title, Text: textOf(card), Request: m.Grant, Requestor: m.Requestor, Justification: m.Justification, By: m.By, Reason: m.Reason, MoreWindows: m.More}
	if len(card.Links) > 0 {
		d.Link = card.Links[0].URL
	}
	for _, w := range m.Windows {
		d.Windows = append(d.Windows, Window{VirtualMachine: w.VM.String(), Port: w.Port, EndTimeUTC: w.End.UTC(), Sources: w.Sources, Dial: w.Dial})
	}
	return Event{SpecVersion: "1.0", ID: m.ID(), Source: source, Type: "portcullis." + string(m.Kind), Subject: m.Subject, Time: m.At.UTC(), DataContentType: "application/json", Data: d}
}

// textOf writes a card as plain text.
func textOf(card tell.Card) string {
	lines := append([]string{}, card.Lines...)
	for _, f := range card.Facts {
		lines = append(lines, f.Name+": "+f.Value)
	}
	for _, l := range card.Links {
		lines = append(lines, l.Text+": "+l.URL)
	}
	return strings.Join(lines, "\n")
}
