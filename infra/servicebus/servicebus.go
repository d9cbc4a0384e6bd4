package servicebus

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/Azure/go-amqp"

	"portcullis/core/parallel"
	"portcullis/core/store"
	"portcullis/infra/loopback"
)

var (
	_ store.Alarm  = (*Alarm)(nil)
	_ store.Pinger = (*Alarm)(nil)
)

const dependency = "Service Bus"

// DefaultQueue is the default queue.
const DefaultQueue = "portcullis-revoke"

// MaxWait bounds every call, including retries. By itself the SDK waits for ever for a broker that does not
// answer.
const MaxWait = 20 * time.Second

// closeTimeout bounds closing a lost connection.
const closeTimeout = time.Second

// lifetime is a message's time to live. It is not verified whether Service Bus counts it from when a scheduled
// message is sent or from its scheduled time. Either way it outlives the furthest start, 31 days ahead, with the longest window after it, a day, and
// by its end the sweep has long done the work.
const lifetime = 38 * 24 * time.Hour

// Options configure an Alarm besides its namespace. The zero value is for production.
type Options struct {
	Queue string // [DefaultQueue] if empty
	// Loopback is the host:port of a stand-in on this machine's loopback, which is reached over plain TCP under the
	// namespace's name. "" is the namespace itself, over TLS.
	Loopback string
	// Retry configures the SDK's retries of one call; zero is two more tries within seconds.
	Retry azservicebus.RetryOptions
}

// Alarm schedules wake-ups. It is safe for concurrent use and connects on first use.
type Alarm struct {
	queue string
	dial  func() (*azservicebus.Client, error)

	mu      sync.Mutex
	open    *link // nil before first use and after it was lost
	leaving sync.WaitGroup
}

// link is one connection and its sender.
type link struct {
	client *azservicebus.Client
	sender *azservicebus.Sender
}

var namespaceForm = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$`)

// New returns the alarm for a namespace, such as <name>.servicebus.windows.net. It makes no call.
func New(namespace string, cred azcore.TokenCredential, options Options) (*Alarm, error) {
	if cred == nil {
		return nil, errors.New("open service bus: a credential is needed")
	}
	if !namespaceForm.MatchString(namespace) {
		return nil, fmt.Errorf("open service bus: %q is not a host name such as <name>.servicebus.windows.net", namespace)
	}
	if options.Queue == "" {
		options.Queue = DefaultQueue
	}
	o := azservicebus.ClientOptions{RetryOptions: options.Retry}
	if o.RetryOptions == (azservicebus.RetryOptions{}) {
		o.RetryOptions = azservicebus.RetryOptions{MaxRetries: 2, RetryDelay: 500 * time.Millisecond, MaxRetryDelay: 2 * time.Second}
	}
	if options.Loopback != "" {
		if err := onLoopback(options.Loopback); err != nil {
			return nil, fmt.Errorf("open service bus: %w", err)
		}
		// The SDK offers plain TCP only with a shared key. It accepts any connection from this function, although it is
		// meant for web sockets.
		o.NewWebSocketConn = func(ctx context.Context, _ azservicebus.NewWebSocketConnArgs) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", options.Loopback)
		}
	}
	return &Alarm{queue: options.Queue, dial: func() (*azservicebus.Client, error) { return azservicebus.NewClient(namespace, cred, &o) }}, nil
}

// onLoopback refuses every address to which a token must not be sent in clear.
func onLoopback(address string) error {
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%q is not an address and a port: %w", address, err)
	}
	if !loopback.Number(a.Addr().String()) {
		return fmt.Errorf("%s is not a loopback address", address)
	}
	return nil
}

// Schedule sends the wake-ups. One whose time has passed is delivered at once. An error means that some may not
// have been accepted; sending all of them again is harmless.
func (a *Alarm) Schedule(ctx context.Context, wakes ...store.Wake) error {
	messages, err := messagesOf(wakes)
	if err != nil || len(messages) == 0 {
		return err
	}
	return a.call(ctx, "schedule wake-ups", func(ctx context.Context, l *link) error { return send(ctx, l.sender, messages) })
}

func messagesOf(wakes []store.Wake) ([]*azservicebus.Message, error) {
	var out []*azservicebus.Message
	for _, w := range wakes {
		body, err := Body{Grant: w.Grant, Generation: w.Generation, Remind: w.Remind}.encode()
		if err == nil && w.At.IsZero() {
			err = errors.New("it has no time")
		}
		if err != nil {
			return nil, fmt.Errorf("schedule a wake-up: %w", err)
		}
		id := fmt.Sprintf("%s.%d.%d.%d", w.Grant, w.Generation, w.At.UnixMilli(), w.Attempt)
		if w.Remind { // at the same time another window of the grant may end
			id += ".r"
		}
		at, kind, ttl := w.At.UTC(), "application/json", lifetime
		out = append(out, &azservicebus.Message{MessageID: &id, ContentType: &kind, Body: body, ScheduledEnqueueTime: &at, TimeToLive: &ttl})
	}
	return out, nil
}

// send sends the messages in as few batches as their size allows.
func send(ctx context.Context, s *azservicebus.Sender, messages []*azservicebus.Message) error {
	for len(messages) > 0 {
		batch, err := s.NewMessageBatch(ctx, nil)
		if err != nil {
			return err
		}
		n := 0
		for ; n < len(messages); n++ {
			if err = batch.AddMessage(messages[n], nil); err != nil {
				break
			}
		}
		if n == 0 || err != nil && !errors.Is(err, azservicebus.ErrMessageTooLarge) {
			return err
		}
		if err := s.SendMessageBatch(ctx, batch, nil); err != nil {
			return err
		}
		messages = messages[n:]
	}
	return nil
}

// Ping attaches a separate sender to the queue and sends nothing. It returns nil if the namespace answers, has the
// queue and lets the app send.
func (a *Alarm) Ping(ctx context.Context) error {
	return a.call(ctx, "attach to the queue", func(ctx context.Context, l *link) error {
		s, err := l.client.NewSender(a.queue, nil)
		if err != nil {
			return err
		}
		_, err = s.NewMessageBatch(ctx, nil)
		return errors.Join(err, s.Close(ctx))
	})
}

// Close ends the connection, if there is one, and waits until lost ones are closed. No call may be in progress;
// later calls connect again.
func (a *Alarm) Close(ctx context.Context) error {
	a.mu.Lock()
	l := a.open
	a.open = nil
	a.mu.Unlock()
	defer a.leaving.Wait()
	if l == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, MaxWait)
	defer cancel()
	return l.client.Close(ctx)
}

// call runs f on the connection and translates its error. After an error it drops the connection, unless the
// caller's context ended: the SDK recovers from most losses, but not from a sender that it has closed, and a new
// connection is always correct.
func (a *Alarm) call(ctx context.Context, what string, f func(context.Context, *link) error) error {
	bounded, cancel := context.WithTimeout(ctx, MaxWait)
	defer cancel()
	l, err := a.connect()
	if err == nil {
		err = bounded.Err()
	}
	if err == nil {
		err = f(bounded, l)
	}
	if err == nil {
		return nil
	}
	if l != nil && ctx.Err() == nil {
		a.giveUp(l)
	}
	// The SDK reports an ended context as a lack of credit or a lost connection.
	if cause := bounded.Err(); cause != nil && !errors.Is(err, cause) {
		err = fmt.Errorf("%w: %w", cause, err)
	}
	return fmt.Errorf("%s: %w", what, translate(err))
}

func (a *Alarm) connect() (*link, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.open != nil {
		return a.open, nil
	}
	client, err := a.dial()
	if err != nil {
		return nil, err
	}
	sender, err := client.NewSender(a.queue, nil)
	if err != nil {
		return nil, err
	}
	a.open = &link{client: client, sender: sender}
	return a.open, nil
}

// giveUp makes the next call connect again, and closes the old connection in the background, so that nobody waits
// for a broker that may not answer.
func (a *Alarm) giveUp(l *link) {
	a.mu.Lock()
	mine := a.open == l
	if mine {
		a.open = nil
	}
	a.mu.Unlock()
	if mine {
		a.leaving.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
			defer cancel()
			_ = parallel.Recover(func() error { return l.client.Close(ctx) }) // it is already broken
		})
	}
}

// translate returns an SDK error as an error of core/store.
func translate(err error) error {
	if e, ok := errors.AsType[*azservicebus.Error](err); ok && e.Code == azservicebus.CodeUnauthorizedAccess {
		return fmt.Errorf("%w: %w", store.ErrForbidden, err)
	}
	if e, ok := errors.AsType[*amqp.Error](err); ok && e.Condition == amqp.ErrCondUnauthorizedAccess {
		return fmt.Errorf("%w: %w", store.ErrForbidden, err)
	}
	if errors.Is(err, azservicebus.ErrMessageTooLarge) {
		return err
	}
	return &store.Unavailable{Dependency: dependency, Err: err}
}
