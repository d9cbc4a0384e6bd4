package main

import (
	"log/slog"
	"net/http"
	"time"
)

// limits bound what one slow connection can hold of this process.
type limits struct {
	header time.Duration // until a call's header is complete
	read   time.Duration // until its body is, at most 1 MiB, from the call's first byte
	write  time.Duration // from the header until the response is written
	idle   time.Duration // between two calls
	bytes  int           // of the header
}

// served returns the limits in force. The only client is the Functions host, which passes data on as slowly as its
// own clients send and receive it.
//
// write is longer than the 230 s after which the platform gives up on an HTTP response, so that a slow download
// that the platform still allows is not cut here. It is also longer than functionTimeout in host.json, since the
// host would treat a trigger as failed if its response were cut off. idle is longer than .NET keeps an unused
// connection (a minute by default), so that the host closes it first and never sends into a connection that is
// being closed.
func served() limits {
	return limits{header: 10 * time.Second, read: time.Minute, write: 5*time.Minute + 15*time.Second, idle: 5 * time.Minute, bytes: 128 << 10}
}

// serverOf returns the server, which enforces the limits on every connection.
func serverOf(h http.Handler, log *slog.Logger, l limits) *http.Server {
	return &http.Server{
		Handler: h, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		ReadHeaderTimeout: l.header, ReadTimeout: l.read, WriteTimeout: l.write, IdleTimeout: l.idle, MaxHeaderBytes: l.bytes,
	}
}
