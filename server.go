package main

import (
	"log/slog"
	"net/http"
	"time"
)

// limits bound what one connection may hold of this process by being slow.
type limits struct {
	header time.Duration // until the header of a call is here
	read   time.Duration // until its body is, at most 1 MiB, from the call's first byte
	write  time.Duration // from the header on, until its answer is taken
	idle   time.Duration // between two calls
	bytes  int           // of the header
}

// served are the limits in force. The client is the Functions host alone, which passes on as slowly as
// its own clients send and take.
//
// write is longer than the 230 s after which the platform gives up on an HTTP answer, so that a download as slow as
// the platform lets it be is not cut here, and longer than functionTimeout in host.json, since a trigger's answer
// that is cut off would have the host take what was done for failed. idle is longer than .NET keeps an unused connection
// (a minute by default), so that the host closes it first and never sends into one that is being closed.
func served() limits {
	return limits{header: 10 * time.Second, read: time.Minute, write: 5*time.Minute + 15*time.Second, idle: 5 * time.Minute, bytes: 128 << 10}
}

// serverOf gives the server that holds every connection to the limits.
func serverOf(h http.Handler, log *slog.Logger, l limits) *http.Server {
	return &http.Server{
		Handler: h, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		ReadHeaderTimeout: l.header, ReadTimeout: l.read, WriteTimeout: l.write, IdleTimeout: l.idle, MaxHeaderBytes: l.bytes,
	}
}
