package busqueue_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"portcullis/local/bussim"
	"portcullis/local/hostsim"
	"portcullis/local/hostsim/busqueue"
)

// key is the shared access key of the test's broker, which lives as long as the
// test.
const key = "local-development-only"

// serve runs a broker on address, and returns the address it got and a function
// that ends it.
func serve(t *testing.T, address string) (*bussim.Broker, string) {
	t.Helper()
	b, err := bussim.Open(bussim.Config{
		Queues: []bussim.Queue{{Name: "ends", LockDuration: 5 * time.Minute, MaxDeliveryCount: 3}},
		Keys:   map[string]string{"root": key},
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- b.Serve(l) }()
	t.Cleanup(func() {
		b.Close()
		<-served
	})
	return b, l.Addr().String()
}

func connect(t *testing.T, address string) *azservicebus.Client {
	t.Helper()
	client, err := azservicebus.NewClientFromConnectionString(
		"Endpoint=sb://"+address+";SharedAccessKeyName=root;SharedAccessKey="+key+";UseDevelopmentEmulator=true",
		&azservicebus.ClientOptions{RetryOptions: azservicebus.RetryOptions{
			MaxRetries: 1, RetryDelay: 10 * time.Millisecond, MaxRetryDelay: 20 * time.Millisecond,
		}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = client.Close(ctx) // the broker may be gone
	})
	return client
}

func open(t *testing.T, client *azservicebus.Client, name string) *busqueue.Queue {
	t.Helper()
	q, err := busqueue.Open(client, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = q.Close() }) // the broker may be gone
	return q
}

func send(t *testing.T, client *azservicebus.Client, m *azservicebus.Message) {
	t.Helper()
	s, err := client.NewSender("ends", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(within(t))
	if err := s.SendMessage(within(t), m, nil); err != nil {
		t.Fatal(err)
	}
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func TestReceiveRefuses(t *testing.T) {
	_, address := serve(t, "127.0.0.1:0")
	client := connect(t, address)
	t.Run("a queue that does not exist", func(t *testing.T) {
		m, err := open(t, client, "nothing").Receive(within(t))
		if err == nil || !strings.Contains(err.Error(), "not-found") {
			t.Errorf("got %v, %v", m, err)
		}
	})
	t.Run("an ended context", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if m, err := open(t, client, "ends").Receive(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, %v", m, err)
		}
	})
	t.Run("someone else's message", func(t *testing.T) {
		q, m := open(t, client, "ends"), &hostsim.Message{MessageID: "m"}
		_, renewing := q.RenewLock(within(t), m)
		for _, err := range []error{q.Complete(within(t), m), q.Abandon(within(t), m), renewing} {
			if err == nil {
				t.Error("settled")
			}
		}
	})
}

func TestMessage(t *testing.T) {
	b, address := serve(t, "127.0.0.1:0")
	client := connect(t, address)
	q := open(t, client, "ends")
	before := time.Now().Add(-time.Second)
	send(t, client, &azservicebus.Message{
		Body: []byte(`{"id":1}`), MessageID: new("m-1"), ContentType: new("application/json"),
		CorrelationID: new("c"), Subject: new("s"), To: new("t"), ReplyTo: new("r"),
		ApplicationProperties: map[string]any{"k": "v"},
	})
	m, err := q.Receive(within(t))
	if err != nil {
		t.Fatal(err)
	}
	want := &hostsim.Message{
		Body: []byte(`{"id":1}`), MessageID: "m-1", ContentType: "application/json", CorrelationID: "c",
		Subject: "s", To: "t", ReplyTo: "r", ApplicationProperties: map[string]any{"k": "v"},
		SequenceNumber: 1, DeliveryCount: 1,
	}
	ignore := cmpopts.IgnoreFields(hostsim.Message{}, "Origin", "LockToken", "LockedUntil", "EnqueuedTime", "ExpiresAt")
	if diff := cmp.Diff(want, m, ignore); diff != "" {
		t.Errorf("message (-want +got):\n%s", diff)
	}
	if len(m.LockToken) != 36 || m.EnqueuedTime.Before(before) || m.LockedUntil.Before(m.EnqueuedTime) {
		t.Errorf("lock %s until %v, enqueued %v", m.LockToken, m.LockedUntil, m.EnqueuedTime)
	}
	until, err := q.RenewLock(within(t), m)
	if err != nil || until.Before(m.LockedUntil) {
		t.Errorf("renewed from %v until %v: %v", m.LockedUntil, until, err)
	}
	if err := q.Abandon(within(t), m); err != nil {
		t.Fatal(err)
	}
	again, err := q.Receive(within(t))
	if err != nil {
		t.Fatal(err)
	}
	if again.DeliveryCount != 2 || again.MessageID != "m-1" {
		t.Errorf("after abandoning: %s, delivery %d", again.MessageID, again.DeliveryCount)
	}
	if err := q.Complete(within(t), again); err != nil {
		t.Fatal(err)
	}
	if until, err := q.RenewLock(within(t), m); err == nil {
		t.Errorf("renewed the lock of a delivery that was abandoned until %v", until)
	}
	counts, err := b.Counts("ends")
	if diff := cmp.Diff(bussim.Counts{}, counts); diff != "" || err != nil {
		t.Errorf("left in the queue: %v %s", err, diff)
	}
}

// TestReconnects receives from a broker that has gone away and come back.
func TestReconnects(t *testing.T) {
	first, address := serve(t, "127.0.0.1:0")
	client := connect(t, address)
	q := open(t, client, "ends")
	send(t, client, &azservicebus.Message{Body: []byte("1"), MessageID: new("1")})
	if _, err := q.Receive(within(t)); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if m, err := q.Receive(within(t)); err == nil {
		t.Fatalf("received %v from a broker that is gone", m)
	}
	serve(t, address)
	send(t, connect(t, address), &azservicebus.Message{Body: []byte("2"), MessageID: new("2")})
	// The host calls again after an error; so does the test, a bounded number of
	// times.
	var err error
	for range 10 {
		var m *hostsim.Message
		if m, err = q.Receive(within(t)); err == nil {
			if m.MessageID != "2" {
				t.Errorf("received %s", m.MessageID)
			}
			if err := q.Complete(within(t), m); err != nil {
				t.Error(err)
			}
			return
		}
	}
	t.Errorf("never reconnected: %v", err)
}
