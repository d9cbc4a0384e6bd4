package bussim_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"portcullis/local/bussim"
)

const (
	plainQueue   = "portcullis-test"
	dupQueue     = "portcullis-test-dup"
	missingQueue = "portcullis-test-missing"

	lockTime  = 5 * time.Second
	dupWindow = 20 * time.Second
	keyName   = "RootManageSharedAccessKey"
	localKey  = "SAS_KEY_VALUE" // local development only
	patience  = 2 * time.Minute // for what never comes: a machine may be slow
)

// clock is set by hand.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

// newClock starts now, as clients sign tokens by the real time.
func newClock() *clock { return &clock{t: time.Now()} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// stand is a running stand-in.
type stand struct {
	*bussim.Broker
	clock *clock
	addr  string
}

func queues() []bussim.Queue {
	return []bussim.Queue{
		{Name: plainQueue, LockDuration: lockTime, MaxDeliveryCount: 3},
		{Name: dupQueue, LockDuration: lockTime, MaxDeliveryCount: 3, DuplicateWindow: dupWindow},
	}
}

// serve starts a stand-in; changes adjust its configuration.
func serve(t testing.TB, changes ...func(*bussim.Config)) *stand {
	t.Helper()
	c := newClock()
	config := bussim.Config{Now: c.now, Queues: queues(), Keys: map[string]string{keyName: localKey}}
	for _, change := range changes {
		change(&config)
	}
	b, err := bussim.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	s := &stand{Broker: b, clock: c}
	s.addr = s.listen(t, "127.0.0.1:0")
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// listen serves addr until the broker is closed.
func (s *stand) listen(t testing.TB, addr string) string {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	b := s.Broker
	go func() { done <- b.Serve(l) }()
	t.Cleanup(func() {
		b.Close()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return l.Addr().String()
}

func (s *stand) connectionString() string {
	return fmt.Sprintf("Endpoint=sb://%s;SharedAccessKeyName=%s;SharedAccessKey=%s;UseDevelopmentEmulator=true", s.addr, keyName, localKey)
}

// advance moves the clock.
func (s *stand) advance(d time.Duration) {
	s.clock.add(d)
	s.Wake()
}

// peer is what the scenarios run against: the stand-in, or whatever SB_CONN
// names, where time can only be waited for.
type peer struct {
	*stand // nil with SB_CONN
	client *azservicebus.Client
}

func newPeer(t *testing.T) *peer {
	t.Helper()
	p := &peer{}
	conn := os.Getenv("SB_CONN")
	if conn == "" {
		p.stand = serve(t)
		conn = p.connectionString()
	}
	p.client = dial(t, conn)
	if p.stand == nil {
		for _, q := range []string{plainQueue, dupQueue} {
			p.empty(t, q, nil)
			p.empty(t, q, &azservicebus.ReceiverOptions{SubQueue: azservicebus.SubQueueDeadLetter})
		}
	}
	return p
}

// now is the peer's time.
func (p *peer) now() time.Time {
	if p.stand != nil {
		return p.clock.now()
	}
	return time.Now()
}

// pass lets d go by: at once on the stand-in, by waiting on a real service.
func (p *peer) pass(t *testing.T, d time.Duration) {
	t.Helper()
	if p.stand != nil {
		p.advance(d)
		return
	}
	t.Logf("waiting %v, as SB_CONN names a peer whose clock cannot be set", d)
	<-time.After(d)
}

// empty removes what earlier runs left in a queue of a real service, and
// leaves no receiver behind whose credit would swallow messages.
func (p *peer) empty(t *testing.T, queue string, o *azservicebus.ReceiverOptions) {
	t.Helper()
	options := azservicebus.ReceiverOptions{ReceiveMode: azservicebus.ReceiveModeReceiveAndDelete}
	if o != nil {
		options.SubQueue = o.SubQueue
	}
	r := receiver(t, p.client, queue, &options)
	for range 100 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		_, err := r.ReceiveMessages(ctx, 100, nil)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			if err := r.Close(bounded(t)); err != nil {
				t.Fatal(err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Fatalf("queue %s is still not empty", queue)
}

func dial(t testing.TB, conn string) *azservicebus.Client {
	t.Helper()
	c, err := azservicebus.NewClientFromConnectionString(conn, &azservicebus.ClientOptions{
		RetryOptions: azservicebus.RetryOptions{MaxRetries: 1, RetryDelay: 50 * time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(bounded(t)) })
	return c
}

// bounded is a context that outlives the test's own by the time that clean-up
// takes.
func bounded(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	t.Cleanup(cancel)
	return ctx
}

func sender(t testing.TB, c *azservicebus.Client, queue string) *azservicebus.Sender {
	t.Helper()
	s, err := c.NewSender(queue, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(bounded(t)) })
	return s
}

func receiver(t testing.TB, c *azservicebus.Client, queue string, o *azservicebus.ReceiverOptions) *azservicebus.Receiver {
	t.Helper()
	r, err := c.NewReceiverForQueue(queue, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(bounded(t)) })
	return r
}

func deadReceiver(t testing.TB, c *azservicebus.Client, queue string) *azservicebus.Receiver {
	return receiver(t, c, queue, &azservicebus.ReceiverOptions{SubQueue: azservicebus.SubQueueDeadLetter})
}

func text(id string) *azservicebus.Message {
	return &azservicebus.Message{MessageID: to.Ptr(id), Body: []byte("body of " + id)}
}

func send(t testing.TB, s *azservicebus.Sender, m *azservicebus.Message) {
	t.Helper()
	if err := s.SendMessage(bounded(t), m, nil); err != nil {
		t.Fatalf("send: %v", err)
	}
}

// one receives the next message. The SDK returns none, and no error, when its
// link broke while it waited.
func one(t testing.TB, r *azservicebus.Receiver) *azservicebus.ReceivedMessage {
	t.Helper()
	ctx := bounded(t)
	for range 5 {
		got, err := r.ReceiveMessages(ctx, 1, nil)
		if err != nil {
			t.Fatalf("receive: %v", err)
		}
		if len(got) == 1 {
			return got[0]
		}
	}
	t.Fatal("five receives without a message")
	return nil
}

// none asserts that nothing arrives for a moment.
func none(t testing.TB, r *azservicebus.Receiver) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
	defer cancel()
	got, err := r.ReceiveMessages(ctx, 1, nil)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("received %d messages (%v), want none", len(got), err)
	}
}

func complete(t testing.TB, r *azservicebus.Receiver, m *azservicebus.ReceivedMessage) {
	t.Helper()
	if err := r.CompleteMessage(bounded(t), m, nil); err != nil {
		t.Fatalf("complete: %v", err)
	}
}

// wantCode asserts an error of the SDK.
func wantCode(t testing.TB, what string, err error, want azservicebus.Code) {
	t.Helper()
	var sb *azservicebus.Error
	if !errors.As(err, &sb) || sb.Code != want {
		t.Fatalf("%s: %v, want code %s", what, err, want)
	}
}
