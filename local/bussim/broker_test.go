package bussim_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/google/go-cmp/cmp"

	"portcullis/local/bussim"
)

func counts(t *testing.T, b *bussim.Broker, queue string) bussim.Counts {
	t.Helper()
	c, err := b.Counts(queue)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func wantCounts(t *testing.T, b *bussim.Broker, queue string, want bussim.Counts) {
	t.Helper()
	if d := cmp.Diff(want, counts(t, b, queue)); d != "" {
		t.Errorf("counts of %s (-want +got):\n%s", queue, d)
	}
}

type credential string

func (c credential) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: string(c), ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// TestTokenCredential is the way of production code: a token of Microsoft
// Entra ID and any fully qualified name, with TCP in the place of a WebSocket.
func TestTokenCredential(t *testing.T) {
	var audiences []string
	s := serve(t, func(c *bussim.Config) {
		c.VerifyToken = func(_ context.Context, token, audience string) error {
			audiences = append(audiences, audience) // one connection verifies one at a time
			if token != "good" {
				return errors.New("not the good token")
			}
			return nil
		}
	})
	client := func(token string) *azservicebus.Client {
		c, err := azservicebus.NewClient("portcullis.servicebus.windows.net", credential(token), &azservicebus.ClientOptions{
			RetryOptions: azservicebus.RetryOptions{MaxRetries: -1},
			NewWebSocketConn: func(ctx context.Context, _ azservicebus.NewWebSocketConnArgs) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "tcp", s.addr)
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close(bounded(t)) })
		return c
	}
	err := sender(t, client("bad"), plainQueue).SendMessage(bounded(t), text("m"), nil)
	wantCode(t, "send with a bad token", err, azservicebus.CodeUnauthorizedAccess)
	audiences = nil
	good := client("good")
	send(t, sender(t, good, plainQueue), text("m"))
	r := receiver(t, good, plainQueue, nil)
	complete(t, r, one(t, r))
	if want := "amqps://portcullis.servicebus.windows.net/" + plainQueue; len(audiences) == 0 || audiences[0] != want {
		t.Errorf("audiences %q, want %s first", audiences, want)
	}
}

func TestWrongKey(t *testing.T) {
	s := serve(t)
	conn := "Endpoint=sb://" + s.addr + ";SharedAccessKeyName=" + keyName + ";SharedAccessKey=wrong;UseDevelopmentEmulator=true"
	err := sender(t, dial(t, conn), plainQueue).SendMessage(bounded(t), text("m"), nil)
	wantCode(t, "send with a wrong key", err, azservicebus.CodeUnauthorizedAccess)
}

func TestOpenRefuses(t *testing.T) {
	for _, row := range []struct {
		name   string
		queues []bussim.Queue
		keys   map[string]string
	}{
		{"no name", []bussim.Queue{{}}, nil},
		{"a name twice", []bussim.Queue{{Name: "q"}, {Name: "Q"}}, nil},
		{"a reserved name", []bussim.Queue{{Name: "q/$management"}}, nil},
		{"a negative duration", []bussim.Queue{{Name: "q", LockDuration: -1}}, nil},
		{"an empty key", nil, map[string]string{"name": ""}},
		{"a key without a name", nil, map[string]string{"": "key"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			if b, err := bussim.Open(bussim.Config{Queues: row.queues, Keys: row.keys}); err == nil {
				b.Close()
				t.Error("opened")
			}
		})
	}
}

func TestTimeToLive(t *testing.T) {
	s := serve(t, func(c *bussim.Config) {
		c.Queues = []bussim.Queue{
			{Name: "drop", DefaultTTL: time.Minute},
			{Name: "keep", DefaultTTL: time.Minute, DeadLetterOnExpiry: true},
		}
	})
	client := dial(t, s.connectionString())
	for _, queue := range []string{"drop", "keep"} {
		out := sender(t, client, queue)
		short, long, late := text("short"), text("long"), text("late")
		short.TimeToLive, long.TimeToLive = to.Ptr(time.Second), to.Ptr(time.Hour)
		late.ScheduledEnqueueTime = to.Ptr(s.clock.now().Add(30 * time.Second))
		for _, m := range []*azservicebus.Message{short, long, late} {
			send(t, out, m)
		}
	}
	at := s.clock.now()
	for _, step := range []struct {
		after      time.Duration
		drop, keep bussim.Counts
	}{
		{0, bussim.Counts{Active: 2, Scheduled: 1}, bussim.Counts{Active: 2, Scheduled: 1}},
		{2 * time.Second, bussim.Counts{Active: 1, Scheduled: 1}, bussim.Counts{Active: 1, Scheduled: 1, DeadLettered: 1}},
		{31 * time.Second, bussim.Counts{Active: 2}, bussim.Counts{Active: 2, DeadLettered: 1}},
		{61 * time.Second, bussim.Counts{Active: 1}, bussim.Counts{Active: 1, DeadLettered: 2}}, // the queue's bound
		{91 * time.Second, bussim.Counts{}, bussim.Counts{DeadLettered: 3}},                     // counted from its activation
	} {
		s.advance(at.Add(step.after).Sub(s.clock.now()))
		wantCounts(t, s.Broker, "drop", step.drop)
		wantCounts(t, s.Broker, "keep", step.keep)
	}
	m := one(t, deadReceiver(t, client, "keep"))
	if m.MessageID != "short" || *m.DeadLetterReason != "TTLExpiredException" {
		t.Errorf("dead letter %s, reason %s", m.MessageID, *m.DeadLetterReason)
	}
}

// TestRestart: everything but the locks survives, under a client that lives on.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	stored := func(c *bussim.Config) { c.Dir = dir }
	s := serve(t, stored)
	client := dial(t, s.connectionString())
	out, in := sender(t, client, plainQueue), receiver(t, client, plainQueue, nil)
	dup := sender(t, client, dupQueue)
	for _, id := range []string{"locked", "deferred", "poison"} {
		send(t, out, text(id))
	}
	locked, later := one(t, in), one(t, in)
	if err := in.DeferMessage(bounded(t), later, nil); err != nil {
		t.Fatal(err)
	}
	poison := one(t, in)
	if err := in.AbandonMessage(bounded(t), poison, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := out.ScheduleMessages(bounded(t), []*azservicebus.Message{text("alarm")}, s.clock.now().Add(time.Minute), nil); err != nil {
		t.Fatal(err)
	}
	send(t, dup, text("once"))

	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = reopen(t, s, stored)
	wantCounts(t, s.Broker, plainQueue, bussim.Counts{Active: 2, Deferred: 1, Scheduled: 1})
	send(t, dup, text("once"))
	wantCounts(t, s.Broker, dupQueue, bussim.Counts{Active: 1})
	for _, want := range []struct {
		id    string
		count uint32
	}{{"locked", 1}, {"poison", 2}} {
		m := one(t, in)
		if m.MessageID != want.id || m.DeliveryCount != want.count {
			t.Errorf("received %s with count %d, want %+v", m.MessageID, m.DeliveryCount, want)
		}
		complete(t, in, m)
	}
	// By token: on the link the SDK would send the delivery number of the old
	// connection, for which nobody answers.
	locked.RawAMQPMessage = nil
	wantCode(t, "complete under the lock of before", in.CompleteMessage(bounded(t), locked, nil), azservicebus.CodeLockLost)
	s.advance(2 * time.Minute)
	m := one(t, in)
	if m.MessageID != "alarm" || *m.SequenceNumber <= *poison.SequenceNumber+1 {
		t.Errorf("received %s as number %d, want the alarm under a new number", m.MessageID, *m.SequenceNumber)
	}
	complete(t, in, m)
	back, err := in.ReceiveDeferredMessages(bounded(t), []int64{*later.SequenceNumber}, nil)
	if err != nil || len(back) != 1 || string(back[0].Body) != "body of deferred" {
		t.Fatalf("receive deferred: %v, %v", back, err)
	}
	s.advance(dupWindow)
	send(t, dup, text("once"))
	wantCounts(t, s.Broker, dupQueue, bussim.Counts{Active: 2})
}

// reopen starts a broker at the address and the time of one that is closed.
func reopen(t *testing.T, old *stand, change func(*bussim.Config)) *stand {
	t.Helper()
	config := bussim.Config{Now: old.clock.now, Queues: queues(), Keys: map[string]string{keyName: localKey}}
	change(&config)
	b, err := bussim.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	s := &stand{Broker: b, clock: old.clock}
	s.addr = s.listen(t, old.addr)
	return s
}

// TestKilled: what a sender was told is stored is in the file without any
// orderly close. A copy of the file is what a killed process leaves.
func TestKilled(t *testing.T) {
	dir, copied := t.TempDir(), t.TempDir()
	s := serve(t, func(c *bussim.Config) { c.Dir = dir })
	client := dial(t, s.connectionString())
	out, in := sender(t, client, plainQueue), receiver(t, client, plainQueue, nil)
	send(t, out, text("gone"))
	send(t, out, text("kept"))
	complete(t, in, one(t, in))
	b, err := os.ReadFile(filepath.Join(dir, "bus.db"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(copied, "bus.db"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	left, err := bussim.Open(bussim.Config{Dir: copied, Queues: queues()})
	if err != nil {
		t.Fatal(err)
	}
	defer left.Close()
	got, err := left.Messages(plainQueue)
	if err != nil || len(got) != 1 || got[0].ID != "kept" || string(got[0].Body) != "body of kept" {
		t.Errorf("messages %+v, %v; want the one that was not completed", got, err)
	}
}

func TestFaults(t *testing.T) {
	s := serve(t)
	client := dial(t, s.connectionString())
	out, in := sender(t, client, plainQueue), receiver(t, client, plainQueue, nil)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Hold(missingQueue, true); err == nil {
		t.Error("a missing queue has no knobs")
	}
	t.Run("hold", func(t *testing.T) {
		must(s.Hold(plainQueue, true))
		send(t, out, text("late"))
		none(t, in)
		must(s.Hold(plainQueue, false))
		complete(t, in, one(t, in))
	})
	t.Run("drop", func(t *testing.T) {
		must(s.DropNext(plainQueue, 1))
		send(t, out, text("lost"))
		none(t, in)
		wantCounts(t, s.Broker, plainQueue, bussim.Counts{Locked: 1})
		s.advance(lockTime)
		m := one(t, in)
		if m.DeliveryCount != 2 {
			t.Errorf("delivery count %d, want 2", m.DeliveryCount)
		}
		complete(t, in, m)
	})
	t.Run("duplicate", func(t *testing.T) {
		must(s.DuplicateNext(plainQueue, 1))
		send(t, out, text("twice"))
		first, second := one(t, in), one(t, in)
		if first.MessageID != second.MessageID || *first.SequenceNumber == *second.SequenceNumber {
			t.Errorf("received %s and %s, want one message twice", first.MessageID, second.MessageID)
		}
		complete(t, in, first)
		complete(t, in, second)
		none(t, in)
	})
	t.Run("busy", func(t *testing.T) {
		must(s.BusyNext(plainQueue, 2)) // the client tries twice
		if err := out.SendMessage(bounded(t), text("refused"), nil); err == nil {
			t.Error("sent to a busy queue")
		}
		must(s.BusyNext(plainQueue, 1))
		send(t, out, text("second try"))
		must(s.BusyNext(plainQueue, 1))
		_, err := out.ScheduleMessages(bounded(t), []*azservicebus.Message{text("second try")}, s.clock.now().Add(time.Hour), nil)
		must(err)
		wantCounts(t, s.Broker, plainQueue, bussim.Counts{Active: 1, Scheduled: 1})
		complete(t, in, one(t, in))
	})
	t.Run("connections", func(t *testing.T) {
		s.Refuse(true)
		if n := s.DropConnections(); n == 0 {
			t.Error("no connections dropped")
		}
		if err := out.SendMessage(bounded(t), text("nobody there"), nil); err == nil {
			t.Error("sent without a broker")
		}
		s.Refuse(false)
		send(t, out, text("back"))
		complete(t, in, one(t, in))
	})
}

// TestManyScheduled: ten thousand schedules fall due in their order.
func TestManyScheduled(t *testing.T) {
	const batches, size = 20, 500
	s := serve(t)
	client := dial(t, s.connectionString())
	out := sender(t, client, plainQueue)
	start := s.clock.now()
	for i := range batches {
		var batch []*azservicebus.Message
		for range size {
			batch = append(batch, &azservicebus.Message{Body: []byte{byte(i)}})
		}
		// The later batches are due first.
		if _, err := out.ScheduleMessages(bounded(t), batch, start.Add(time.Duration(batches-i)*time.Minute), nil); err != nil {
			t.Fatal(err)
		}
	}
	wantCounts(t, s.Broker, plainQueue, bussim.Counts{Scheduled: batches * size})
	s.advance(time.Minute)
	wantCounts(t, s.Broker, plainQueue, bussim.Counts{Scheduled: (batches - 1) * size, Active: size})
	s.advance(batches * time.Minute)
	wantCounts(t, s.Broker, plainQueue, bussim.Counts{Active: batches * size})
	all, err := s.Messages(plainQueue)
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range all {
		if i%size > 0 && m.EnqueuedSequenceNumber < all[i-1].EnqueuedSequenceNumber {
			t.Fatalf("message %d came before one sent earlier for the same time", i)
		}
		if want := byte(batches - 1 - i/size); m.Body[0] != want || m.State != bussim.Active {
			t.Fatalf("message %d is %s and of batch %d, want active and %d", i, m.State, m.Body[0], want)
		}
	}
}

func TestCloseEndsConnections(t *testing.T) {
	s := serve(t)
	nc, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(nc, "AMQP\x00\x01\x00\x00"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(nc, make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := nc.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read after close: %v, want an end", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(l); !errors.Is(err, net.ErrClosed) {
		t.Errorf("serve after close: %v, want net.ErrClosed", err)
	}
}
