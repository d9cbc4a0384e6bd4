package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httputil"
	neturl "net/url"
	"os"
	"path/filepath"
	"time"

	"portcullis/local/azurite"
	"portcullis/local/hostsim"
	"portcullis/local/hostsim/busqueue"
	"portcullis/local/realhost"
)

// real is the Functions host that Azure runs, instead of the stand-in, with what it lacks on one machine: blobs
// for its timers, and the Service Bus extension, which no package registry has. A pump replaces the extension: it
// receives the messages and has the host run the function through its admin endpoint. The host does not report how
// a run ended, so a message is completed once it is started; if it fails, the sweep closes the window.
type real struct {
	host *realhost.Host
	stop context.CancelFunc
	done chan struct{}
	rest []func()
}

// startReal starts the real host with the app in it.
func startReal(app, state string, env []string, queue *busqueue.Queue, log *slog.Logger) (r *real, err error) {
	r = &real{done: make(chan struct{})}
	defer func() {
		if err != nil {
			close(r.done)
			err = errors.Join(err, r.Close())
		}
	}()
	prepared := filepath.Join(state, "app")
	if err := os.RemoveAll(prepared); err != nil {
		return r, err
	}
	if err := realhost.Prepare(app, prepared, ""); err != nil {
		return r, fmt.Errorf("prepare the app: %w", err)
	}
	blobs := filepath.Join(state, "blobs")
	if err := os.MkdirAll(blobs, 0o700); err != nil {
		return r, err
	}
	at, stop, err := azurite.Run(azurite.Blob, blobs)
	if err != nil {
		return r, err
	}
	r.rest = append(r.rest, stop)
	if r.host, err = realhost.Start(realhost.Config{Root: prepared, Env: env, Storage: azurite.Storage(at), ID: "portcullis", Log: lines{log}}); err != nil {
		return r, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.stop = cancel
	go r.pump(ctx, queue, log)
	return r, nil
}

// Ready waits until the app answers.
func (r *real) Ready(ctx context.Context) error { return r.host.Ready(ctx, "/api/health") }

// front forwards to the host, unchanged, what the front end lets through.
func (r *real) front() (http.Handler, error) {
	to, err := neturl.Parse(r.host.URL)
	if err != nil {
		return nil, err
	}
	return &httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(p *httputil.ProxyRequest) {
		p.Out.URL.Scheme, p.Out.URL.Host, p.Out.Host = to.Scheme, to.Host, p.In.Host
		for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
			if values, ok := p.In.Header[name]; ok {
				p.Out.Header[name] = values
			}
		}
	}}, nil
}

// pumpPause is how long the pump waits after an error of the queue or the host.
const pumpPause = time.Second

// pump replaces the Service Bus extension.
func (r *real) pump(ctx context.Context, queue *busqueue.Queue, log *slog.Logger) {
	defer close(r.done)
	for ctx.Err() == nil {
		m, err := queue.Receive(ctx)
		if err == nil {
			err = r.deliver(ctx, queue, m)
		}
		if err != nil && ctx.Err() == nil {
			log.Warn("deliver a message", "error", err)
			select {
			case <-time.After(pumpPause):
			case <-ctx.Done():
			}
		}
	}
}

func (r *real) deliver(ctx context.Context, queue *busqueue.Queue, m *hostsim.Message) error {
	if err := r.host.Trigger(ctx, "revoke", string(m.Body)); err != nil {
		return errors.Join(err, queue.Abandon(ctx, m))
	}
	return queue.Complete(ctx, m)
}

// Close stops the pump, the host and its storage.
func (r *real) Close() error {
	if r.stop != nil {
		r.stop()
	}
	<-r.done
	var err error
	if r.host != nil {
		err = r.host.Close()
	}
	for _, stop := range r.rest {
		stop()
	}
	return err
}

// lines logs what a process prints, line by line.
type lines struct{ log *slog.Logger }

// Write implements io.Writer.
func (l lines) Write(text []byte) (int, error) {
	for line := range bytes.Lines(text) {
		l.log.Info("host", "line", string(bytes.TrimRight(line, "\r\n")))
	}
	return len(text), nil
}
