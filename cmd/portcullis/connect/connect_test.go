package connect_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"portcullis/cmd/portcullis/apptest"
	"portcullis/cmd/portcullis/exit"
	"portcullis/cmd/portcullis/verbs"
)

func TestMain(m *testing.M) {
	if apptest.Token(os.Args, os.Stdout) {
		return
	}
	os.Exit(m.Run())
}

// person is somebody at a terminal, with an app whose machine web has three protected ports, each of which leads to a machine here that repeats
// what it is told.
type person struct {
	*testing.T
	app *apptest.App
	env map[string]string
}

func newPerson(t *testing.T) *person {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &person{T: t, app: apptest.New(t, "web")}
	p.env = map[string]string{"PORTCULLIS_URL": p.app.URL, "PORTCULLIS_CONFIG": filepath.Join(t.TempDir(), "config.json"), "PORTCULLIS_STATE": t.TempDir()}
	p.env["PORTCULLIS_TOKEN_COMMAND"] = apptest.Command(self, "admin")
	if code, out, errs := p.run(nil, "enable", "web", "--yes", "--port", "22/tcp,3389,5986"); code != exit.Done {
		t.Fatalf("%d %s %s", code, out, errs)
	}
	p.env["PORTCULLIS_TOKEN_COMMAND"] = apptest.Command(self, "requester")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn)
			}()
		}
	}()
	p.env["PORTCULLIS_CONNECT_TO"] = fmt.Sprintf("198.51.100.4:22:%s,198.51.100.4:3389:%[1]s", l.Addr())
	return p
}

// run runs a verb to its end.
func (p *person) run(in io.Reader, args ...string) (exit.Code, string, string) {
	p.Helper()
	var out, errs bytes.Buffer
	code := verbs.Run(p.Context(), args, p.world(in, &out, &errs))
	return code, out.String(), errs.String()
}

func (p *person) world(in io.Reader, out, errs io.Writer) verbs.World {
	return verbs.World{In: in, Out: out, Err: errs, Now: time.Now, RetryDelay: time.Millisecond, Getenv: func(name string) string { return p.env[name] }}
}

// begin runs a verb until stop is called, which gives its exit code, and gives the first line that it prints.
func (p *person) begin(args ...string) (line string, stop func() (exit.Code, string)) {
	p.Helper()
	ctx, interrupt := context.WithCancel(p.Context())
	read, write := io.Pipe()
	var errs bytes.Buffer
	var code exit.Code
	var done sync.WaitGroup
	done.Go(func() {
		code = verbs.Run(ctx, args, p.world(strings.NewReader(""), write, &errs))
		write.Close()
	})
	out := bufio.NewReader(read)
	line, _ = out.ReadString('\n')
	return strings.TrimSpace(line), func() (exit.Code, string) {
		interrupt()
		_, _ = io.Copy(io.Discard, out)
		done.Wait()
		return code, errs.String()
	}
}

// closed checks that nothing is open any more, and that something was.
func (p *person) closed() {
	p.Helper()
	_, out, errs := p.run(nil, "requests")
	if strings.Contains(out, "Initiated") || !strings.Contains(out, "Revoked") {
		p.Errorf("%s%s", out, errs)
	}
}

// TestProxy: what comes on stdin arrives, what comes back is on stdout, and nothing else is.
func TestProxy(t *testing.T) {
	t.Parallel()
	p := newPerson(t)
	sent := strings.Repeat("portcullis\r\n\x00", 1<<15)
	code, out, errs := p.run(strings.NewReader(sent), "proxy", "web", "22", "--for", "5m")
	if code != exit.Done || out != sent || !strings.Contains(errs, "port 22 of web is closed") {
		t.Errorf("%d, %d of %d bytes, %s", code, len(out), len(sent), errs)
	}
	p.closed()
}

// TestTunnel: a loopback port leads to the machine until it is interrupted, for several connections.
func TestTunnel(t *testing.T) {
	t.Parallel()
	p := newPerson(t)
	address, stop := p.begin("tunnel", "web", "22")
	if host, _, err := net.SplitHostPort(address); err != nil || host != "127.0.0.1" {
		code, errs := stop()
		t.Fatalf("it listens on %q: %d, %s", address, code, errs)
	}
	var standing net.Conn
	for range 3 {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintln(conn, "hello")
		if got, err := bufio.NewReader(conn).ReadString('\n'); err != nil || got != "hello\n" {
			t.Errorf("%q, %v", got, err)
		}
		standing = conn
	}
	code, errs := stop()
	if code != exit.Done {
		t.Errorf("%d, %s", code, errs)
	}
	if n, err := standing.Read(make([]byte, 1)); err == nil {
		t.Errorf("%d bytes come through what was interrupted", n)
	}
	p.closed()
	if code, _, errs := p.run(nil, "tunnel", "web", "22", "--listen", "70000"); code != exit.Usage {
		t.Errorf("port 70000: %d, %s", code, errs)
	}
}

// TestWindowEnds: a tunnel ends with its window, with words.
func TestWindowEnds(t *testing.T) {
	t.Parallel()
	p := newPerson(t)
	code, out, errs := p.run(nil, "tunnel", "web", "22", "--for", "1s")
	if code != exit.Done || out == "" || !strings.Contains(errs, "the window of port 22 of web has ended") {
		t.Errorf("%d, %q, %s", code, out, errs)
	}
}

// TestWinRM: the address is there for whatever uses it, until it is interrupted.
func TestWinRM(t *testing.T) {
	t.Parallel()
	p := newPerson(t)
	address, stop := p.begin("winrm", "web")
	code, errs := stop()
	if code != exit.Done || address != "https://198.51.100.4:5986/wsman" {
		t.Errorf("%d, %q, %s", code, address, errs)
	}
	p.closed()
	if code, _, errs := p.run(nil, "winrm", "web", "--http"); code != exit.Refused { // 5985 is not of the policy
		t.Errorf("over http: %d, %s", code, errs)
	}
}

// TestRDP: the system's client is started with the place as one argument, and the port is closed when it ends.
func TestRDP(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("NOT RUN: the client of Remote Desktop is another one here")
	}
	p := newPerson(t)
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	// Without a client the place is printed, and held.
	address, stop := p.begin("rdp", "web")
	if code, errs := stop(); code != exit.Done || !strings.HasPrefix(address, "127.0.0.1:") {
		t.Errorf("%d, %q, %s", code, address, errs)
	}
	wrote := filepath.Join(dir, "arguments")
	for _, row := range []struct {
		script string
		code   exit.Code
	}{{`printf '%s|' "$#" "$@" > ` + wrote, exit.Done}, {"exit 5", exit.Failed}} {
		if err := os.WriteFile(filepath.Join(dir, "xfreerdp"), []byte("#!/bin/sh\n"+row.script+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		if code, out, errs := p.run(nil, "rdp", "web"); code != row.code || out != "" || !strings.Contains(errs, "port 3389 of web is closed") {
			t.Errorf("%s: %d, %q, %s", row.script, code, out, errs)
		}
	}
	if got, err := os.ReadFile(wrote); err != nil || string(got) != "1|/v:"+address+"|" {
		t.Errorf("it is started with %q, %v", got, err)
	}
	p.closed()
}
