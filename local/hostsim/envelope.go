package hostsim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
)

// envelope is what the host posts for a trigger other than HTTP.
type envelope struct {
	Data     map[string]any
	Metadata map[string]any
}

// The layouts in which .NET writes a DateTime of the host and, below, the ones
// it reads back from text: the loss of the fraction is the host's.
const (
	roundTrip = "2006-01-02T15:04:05.9999999Z07:00"
	withZone  = "2006-01-02T15:04:05.9999999-07:00"
	noZone    = "2006-01-02T15:04:05"
	noFrac    = "2006-01-02T15:04:05-07:00"
)

// encode writes v as the host's JSON writer does: one line, without the HTML
// escapes that Go adds.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// jsonText is the host's way with every value that is not an object: its JSON,
// as a string.
func jsonText(v any) string {
	text, err := encode(v)
	if err != nil {
		return "null" // numbers and strings are all that is passed here
	}
	return string(text)
}

// sys is the metadata that every trigger has.
func sys(function string, now time.Time) map[string]any {
	return map[string]any{
		"MethodName": function,
		"UtcNow":     now.UTC().Format(roundTrip),
		"RandGuid":   uuid.NewString(),
	}
}

// messageEnvelope encodes one delivery for the Service Bus function f.
func messageEnvelope(f *function, m *Message, now time.Time) ([]byte, error) {
	// The host's string is the body read as UTF-8, broken sequences replaced.
	body := strings.ToValidUTF8(string(m.Body), "\uFFFD")
	md := metadata{}
	for _, name := range []string{"MessageReceiver", "MessageSession", "MessageActions", "SessionActions", "ReceiveActions"} {
		md[name] = struct{}{}
	}
	md["Client"] = map[string]any{
		"FullyQualifiedNamespace": "127.0.0.1", "IsClosed": false, "TransportType": 0, "Identifier": "hostsim",
	}
	md["DeliveryCount"] = jsonText(m.DeliveryCount)
	md["SequenceNumber"] = jsonText(m.SequenceNumber)
	for name, text := range map[string]string{
		"MessageId": m.MessageID, "LockToken": m.LockToken, "ContentType": m.ContentType,
		"CorrelationId": m.CorrelationID, "Subject": m.Subject, "Label": m.Subject, "To": m.To,
		"ReplyTo": m.ReplyTo, "SessionId": m.SessionID, "ReplyToSessionId": m.ReplyToSessionID,
		"PartitionKey": m.PartitionKey, "DeadLetterSource": m.DeadLetterSource,
	} {
		if text != "" {
			md[name] = jsonText(text)
		}
	}
	for name, t := range map[string]time.Time{"EnqueuedTime": m.EnqueuedTime, "ExpiresAt": m.ExpiresAt} {
		if !t.IsZero() {
			md[name] = t.UTC().Format(noFrac)
			md[name+"Utc"] = t.UTC().Format(noZone)
		}
	}
	properties := m.ApplicationProperties
	if properties == nil {
		properties = map[string]any{}
	}
	md["ApplicationProperties"] = properties
	md["UserProperties"] = properties
	md["sys"] = sys(f.name, now)
	md.apply(body)
	for name := range md {
		if strings.HasSuffix(strings.ToLower(name), "trigger") {
			delete(md, name)
		}
	}
	text, err := encode(envelope{Data: map[string]any{f.binding: jsonText(body)}, Metadata: md})
	if err != nil {
		return nil, fmt.Errorf("encode message %s: %w", m.MessageID, err)
	}
	return text, nil
}

// metadata is a trigger's binding data: a dictionary whose keys differ by more
// than case.
type metadata map[string]any

// set writes value under key, or under the key that is there already and
// differs from it by case alone.
func (md metadata) set(key string, value any) {
	for have := range md {
		if strings.EqualFold(have, key) {
			key = have
			break
		}
	}
	md[key] = value
}

// apply writes the properties of body over the metadata if body is a JSON
// object: objects as they are, scalars as strings, arrays and nulls not at all
// (Utility.ApplyBindingData of the host). The scalars are turned to strings
// before they are encoded, so a number arrives as a JSON string of its digits.
// Not imitated: .NET writes a string that looks like a date in another format.
func (md metadata) apply(body string) {
	var properties map[string]json.RawMessage
	if json.Unmarshal([]byte(body), &properties) != nil {
		return
	}
	for key, raw := range properties {
		switch raw[0] {
		case '[', 'n':
		case '{':
			md.set(key, raw)
		case 't':
			md.set(key, jsonText("True"))
		case 'f':
			md.set(key, jsonText("False"))
		case '"':
			var text string
			if json.Unmarshal(raw, &text) == nil {
				md.set(key, jsonText(text))
			}
		default:
			md.set(key, jsonText(string(raw)))
		}
	}
}

// timerStatus is TimerInfo.ScheduleStatus: when the function last ran, when it is to
// run next, and when this was written. The zero times stand before the first run.
type timerStatus struct {
	Last, Next, LastUpdated string
}

func newTimerStatus(last, next, updated time.Time) *timerStatus {
	return &timerStatus{Last: last.Format(withZone), Next: next.Format(withZone), LastUpdated: updated.Format(withZone)}
}

// timerEnvelope encodes one run of the timer function f.
func timerEnvelope(f *function, status *timerStatus, pastDue bool, now time.Time) ([]byte, error) {
	return encode(envelope{
		Data: map[string]any{f.binding: map[string]any{
			"Schedule":       map[string]any{"AdjustForDST": true},
			"ScheduleStatus": status,
			"IsPastDue":      pastDue,
		}},
		Metadata: map[string]any{"sys": sys(f.name, now)},
	})
}
