package bussim_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/google/go-cmp/cmp"

	"portcullis/local/bussim"
)

// TestTokenExpiry: a JSON Web Token that passed still needs to say until when.
// The JavaScript SDK leaves the expiration property out.
func TestTokenExpiry(t *testing.T) {
	s := serve(t, func(c *bussim.Config) {
		c.VerifyToken = func(_ context.Context, token, _ string) error {
			if strings.HasPrefix(token, "forged") {
				return errors.New("forged")
			}
			return nil
		}
	})
	jwt := func(after time.Duration) string {
		claims := fmt.Sprintf(`{"exp":%d}`, s.clock.now().Add(after).Unix())
		return "h." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".s"
	}
	for _, row := range []struct {
		name, token, says string
		status            int32
	}{
		{"forged", "forged" + jwt(time.Hour), "forged", 401},
		{"no expiry", "opaque", "no expiry", 401},
		{"claims that are no JSON", "h.e30x.s", "no expiry", 401},
		{"expired", jwt(-time.Minute), "expired", 401},
		{"good", jwt(time.Hour), "Accepted", 202},
	} {
		t.Run(row.name, func(t *testing.T) {
			status, says := opened(t, s).putToken("jwt", "amqps://h/"+plainQueue, row.token)
			if status != row.status || !strings.Contains(says, row.says) {
				t.Errorf("answer %d %q, want %d with %q", status, says, row.status, row.says)
			}
		})
	}
}

func TestMessages(t *testing.T) {
	s := serve(t)
	client := dial(t, s.connectionString())
	out, in := sender(t, client, plainQueue), receiver(t, client, plainQueue, nil)
	at := s.clock.now().UTC()
	m := text("m")
	m.ApplicationProperties = map[string]any{"k": int64(7)}
	m.TimeToLive = to.Ptr(time.Hour)
	send(t, out, m)
	later := text("later")
	later.ScheduledEnqueueTime = to.Ptr(at.Add(time.Minute))
	send(t, out, later)
	held := one(t, in)
	want := []bussim.Message{
		{ID: "m", SequenceNumber: 1, EnqueuedSequenceNumber: 1, Locked: true, EnqueuedTime: at, LockedUntil: at.Add(lockTime),
			ExpiresAt: at.Add(time.Hour), ApplicationProperties: map[string]any{"k": int64(7)}, Body: []byte("body of m")},
		{ID: "later", SequenceNumber: 2, EnqueuedSequenceNumber: 2, State: bussim.Scheduled, EnqueuedTime: at,
			ScheduledTime: at.Add(time.Minute).Truncate(time.Millisecond), Body: []byte("body of later")},
	}
	got, err := s.Messages(plainQueue)
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("messages, %v (-want +got):\n%s", err, d)
	}
	wantCounts(t, s.Broker, plainQueue, bussim.Counts{Locked: 1, Scheduled: 1})
	if err := in.DeadLetterMessage(bounded(t), held, &azservicebus.DeadLetterOptions{Reason: to.Ptr("r")}); err != nil {
		t.Fatal(err)
	}
	want = []bussim.Message{{ID: "m", SequenceNumber: 1, EnqueuedSequenceNumber: 1, EnqueuedTime: at, DeadLetterSource: plainQueue,
		ApplicationProperties: map[string]any{"k": int64(7), "DeadLetterReason": "r"}, Body: []byte("body of m")}}
	got, err = s.Messages(plainQueue + "/$deadletterqueue")
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("dead letters, %v (-want +got):\n%s", err, d)
	}
	if _, err := s.Messages(missingQueue); err == nil {
		t.Error("a missing queue has messages")
	}
}
