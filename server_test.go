package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// testTimeout bounds a failing test; a passing one does not wait for it.
const testTimeout = 30 * time.Second

// slow returns limits that a test can wait for.
func slow() limits {
	return limits{header: 50 * time.Millisecond, read: 100 * time.Millisecond, write: 100 * time.Millisecond, idle: 50 * time.Millisecond, bytes: 4 << 10}
}

// dial serves h under the limits on a real listener, and connects to it.
func dial(t *testing.T, h http.HandlerFunc, l limits) net.Conn {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, done := serverOf(h, slog.New(slog.DiscardHandler), l), make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(testTimeout)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// closed reads until the server closes, and returns what it read.
func closed(t *testing.T, conn net.Conn) string {
	t.Helper()
	text, err := io.ReadAll(conn)
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		t.Fatalf("the connection is still open after %v", testTimeout)
	}
	return string(text) // a reset also closes the connection
}

// TestSlowClients: the server drops a client that sends slowly or not at all, in whichever part of a call.
func TestSlowClients(t *testing.T) {
	for _, tc := range []struct {
		name, sends string
		called      bool
	}{
		{"nothing at all", "", false},
		{"half a header", "POST /api/request HTTP/1.1\r\nHost: x\r\nX-", false},
		{"half a body", "POST /api/request HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{", true},
		{"half a chunk", "POST /api/request HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{", true},
		{"a whole call, and no other", "GET /api/request HTTP/1.1\r\nHost: x\r\n\r\n", true},
		{"a header without end", "GET /api/request HTTP/1.1\r\nHost: x\r\nX-Long: " + strings.Repeat("a", 16<<10), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			read := make(chan error, 1)
			conn := dial(t, func(_ http.ResponseWriter, r *http.Request) {
				_, err := io.ReadAll(r.Body)
				read <- err
			}, slow())
			if _, err := io.WriteString(conn, tc.sends); err != nil {
				t.Fatal(err)
			}
			closed(t, conn)
			select {
			case err := <-read:
				if whole := strings.HasPrefix(tc.sends, "GET"); !tc.called || (err == nil) != whole {
					t.Errorf("the handler was called, and reading the body gave %v", err)
				}
			default:
				if tc.called {
					t.Error("the handler was not called")
				}
			}
		})
	}
}

// TestSlowReader: a client that requests a large response and does not read it holds the handler no longer than
// the limit.
func TestSlowReader(t *testing.T) {
	wrote := make(chan error, 1)
	conn := dial(t, func(w http.ResponseWriter, _ *http.Request) {
		block := make([]byte, 1<<20)
		for range 1 << 10 {
			if _, err := w.Write(block); err != nil {
				wrote <- err
				return
			}
		}
		wrote <- nil
	}, slow())
	if _, err := io.WriteString(conn, "GET /api/activity HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-wrote:
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the answer that nobody takes ends with %v", err)
		}
	case <-time.After(testTimeout):
		t.Error("the handler still writes")
	}
}

// TestLongCallsAreNotCut: once a call has been read completely, it may take longer than the read limit, and its
// context stays valid.
func TestLongCallsAreNotCut(t *testing.T) {
	l := slow()
	l.write = testTimeout
	other := make(chan struct{})
	conn := dial(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		<-other
		_, _ = fmt.Fprint(w, r.Context().Err())
	}, l)
	if _, err := io.WriteString(conn, "POST /sweep HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"); err != nil {
		t.Fatal(err)
	}
	// Another, later connection has been dropped: the time for reading is over.
	late := dial(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.ReadAll(r.Body) }, l)
	if _, err := io.WriteString(late, "POST /sweep HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{"); err != nil {
		t.Fatal(err)
	}
	closed(t, late)
	close(other)
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if text, err := io.ReadAll(answer.Body); err != nil || string(text) != "<nil>" {
		t.Errorf("%q, %v", text, err)
	}
}

// TestLimitsServed compares the limits in force with those of the platform and the host.
func TestLimitsServed(t *testing.T) {
	text, err := os.ReadFile("host.json")
	if err != nil {
		t.Fatal(err)
	}
	var host struct{ FunctionTimeout string }
	if err := json.Unmarshal(text, &host); err != nil {
		t.Fatal(err)
	}
	var h, m, s int
	if _, err := fmt.Sscanf(host.FunctionTimeout, "%d:%d:%d", &h, &m, &s); err != nil {
		t.Fatal(err)
	}
	function, l := time.Duration(h*3600+m*60+s)*time.Second, served()
	if l.write <= function || l.write <= 230*time.Second || l.write <= wait {
		t.Errorf("answers are cut after %v: before a function's %v, the platform's 230 s or our own %v", l.write, function, wait)
	}
	if l.write > 2*function || l.header <= 0 || l.header > l.read || l.read > l.write || l.idle <= time.Minute || l.bytes < 64<<10 || l.bytes > 1<<20 {
		t.Errorf("limits %+v", l)
	}
}

// TestSampling holds what host.json has Application Insights leave out: requests, which anybody makes, and never traces, which hold the
// app's own lines (heads of the activity log, findings, panics), nor exceptions.
func TestSampling(t *testing.T) {
	text, err := os.ReadFile("host.json")
	if err != nil {
		t.Fatal(err)
	}
	var host struct {
		Logging struct {
			LogLevel            map[string]string
			ApplicationInsights struct {
				SamplingSettings struct {
					IsEnabled                         bool
					MaxTelemetryItemsPerSecond        float64
					SamplingPercentageDecreaseTimeout string
					ExcludedTypes, IncludedTypes      string
				}
			}
		}
	}
	if err := json.Unmarshal(text, &host); err != nil {
		t.Fatal(err)
	}
	s, levels := host.Logging.ApplicationInsights.SamplingSettings, host.Logging.LogLevel
	if !s.IsEnabled || s.MaxTelemetryItemsPerSecond <= 0 || s.MaxTelemetryItemsPerSecond > 1 || s.SamplingPercentageDecreaseTimeout != "00:00:01" {
		t.Errorf("strangers' requests are not sampled at once to one a second: %+v", s)
	}
	if kept := strings.Split(s.ExcludedTypes, ";"); !slices.Contains(kept, "Trace") || !slices.Contains(kept, "Exception") || slices.Contains(kept, "Request") || s.IncludedTypes != "" {
		t.Errorf("sampling leaves alone %q and takes %q", s.ExcludedTypes, s.IncludedTypes)
	}
	// Two lines of the host for each call, which nothing samples; those of a function that failed are errors.
	if levels["Function"] != "Warning" || levels["default"] != "Warning" || levels["Host.Function.Console"] != "Information" || levels["Host.Results"] != "Information" {
		t.Errorf("levels %v", levels)
	}
}
