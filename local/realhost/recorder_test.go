package realhost_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http/httputil"
	"net/textproto"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestMain runs the test binary as the handler when a host starts it as one: RECORD names the
// file in which it notes each call.
func TestMain(m *testing.M) {
	if file := os.Getenv("RECORD"); file != "" {
		fmt.Fprintln(os.Stderr, record(file))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// call is one request as the handler reads it from the wire.
type call struct {
	Method, Target string
	Headers        []string // "Name: value", sorted; what changes from call to call is named and not shown
	Body           string   // its first 1,000 bytes
	Length         int      // of the body
	Chunked        bool
}

// record serves calls until the process is ended. It reads the wire itself, since
// net/http would tidy what is to be seen.
func record(file string) error {
	if after, err := time.ParseDuration(os.Getenv("RECORD_AFTER")); err == nil {
		time.Sleep(after) // a handler that is slow to start
	}
	l, err := net.Listen("tcp", "127.0.0.1:"+os.Getenv("FUNCTIONS_CUSTOMHANDLER_PORT"))
	if err != nil {
		return err
	}
	notes, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			in := bufio.NewReader(conn)
			for {
				c, err := readCall(in, l.Addr().String())
				if err != nil {
					return // the host has closed it
				}
				late := ""
				if strings.Contains(c.Body, `"IsPastDue":true`) {
					late = " past due"
				}
				if c.Target != "/" { // the probe
					fmt.Fprintln(notes, c.Method, c.Target+late)
				}
				if waits(file, c) {
					_, _ = in.ReadByte() // it ends when the host closes the connection
					fmt.Fprintln(notes, "GONE", c.Target)
					return
				}
				if !answer(conn, c) {
					return
				}
			}
		}()
	}
}

// waits reports whether a call is not to be answered: one that asks for that, and the first one of
// those that ask for an answer to the second.
func waits(file string, c call) bool {
	_, query, _ := strings.Cut(c.Target, "?")
	if query != "second" {
		return query == "wait"
	}
	text, err := os.ReadFile(file)
	return err == nil && strings.Count(string(text), " "+c.Target+"\n") < 2
}

// unread are answers after which the connection is closed: none, and what is none.
var unread = map[string]string{
	"drop":  "",
	"half":  "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\nhalf",
	"noise": "hello\r\n\r\n",
	"long":  "HTTP/1.1 200 OK\r\nX-Mine: " + strings.Repeat("b", 70000) + "\r\nContent-Length: 0\r\n\r\n",
}

func readCall(in *bufio.Reader, self string) (call, error) {
	line, err := textproto.NewReader(in).ReadLine()
	if err != nil {
		return call{}, err
	}
	first := strings.SplitN(line, " ", 3)
	if len(first) != 3 {
		return call{}, fmt.Errorf("not a request line: %q", line)
	}
	c := call{Method: first[0], Target: first[1]}
	length := 0
	for {
		line, err := textproto.NewReader(in).ReadLine()
		if err != nil {
			return c, err
		}
		if line == "" {
			break
		}
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch strings.ToLower(name) {
		case "content-length":
			if length, err = strconv.Atoi(value); err != nil {
				return c, err
			}
		case "transfer-encoding":
			c.Chunked = value == "chunked"
		case "x-azure-functions-invocationid", "x-ms-invocation-id":
			if len(value) == 36 {
				value = "one GUID"
			}
		case "x-original-for":
			if host, _, err := net.SplitHostPort(value); err == nil && host == "127.0.0.1" {
				value = "the connection"
			}
		}
		if value == self {
			value = "the handler"
		}
		// Hosts write the names of headers in the case of their own tables; no reader minds.
		c.Headers = append(c.Headers, strings.ToLower(name)+": "+value)
	}
	slices.Sort(c.Headers)
	body := io.LimitReader(in, int64(length))
	if c.Chunked {
		body = httputil.NewChunkedReader(in)
	}
	text, err := io.ReadAll(body)
	if err != nil {
		return c, err
	}
	if c.Chunked {
		if _, err := textproto.NewReader(in).ReadLine(); err != nil {
			return c, err
		}
	}
	c.Body, c.Length = string(text[:min(len(text), 1000)]), len(text)
	return c, nil
}

// answer writes what the call's query asks for, else the call itself as JSON. It reports false to
// drop the connection unanswered.
func answer(w io.Writer, c call) bool {
	_, query, _ := strings.Cut(c.Target, "?")
	if wire, ok := unread[query]; ok {
		_, _ = io.WriteString(w, wire) // the host may have gone
		return false
	}
	text, err := json.Marshal(c)
	if err != nil {
		return false
	}
	head := "200 OK\r\nContent-Type: application/json"
	if !strings.HasPrefix(c.Target, "/api/") { // a trigger, or the probe
		text = []byte(`{"Outputs":{},"Logs":[],"ReturnValue":null}`)
	}
	var out bytes.Buffer
	switch query {
	case "bare":
		head = "200 OK"
	case "teapot":
		head = "418 Short and stout\r\nContent-Type: application/json"
	case "none":
		head, text = "204 No Content", nil
	case "unchanged":
		head, text = "304 Not Modified\r\nETag: \"1\"", nil
	case "away":
		head = "302 Found\r\nLocation: /api/any/a%20b"
	case "cookies":
		head += "\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2"
	case "broken":
		head = "500 Internal Server Error\r\nContent-Type: application/json"
	case "foreign":
		head = "200 OK\r\nX-Mine: caf\xc3\xa9"
	case "odd":
		head = "999 Odd"
	case "early":
		head = "103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: application/json"
	case "spaced":
		head = "302 Found\r\nLocation: /a b\r\nX-Mine: 1\r\nX-Mine: 2"
	case "mine":
		head += "\r\nServer: mine\r\nX-Mine: 1"
	}
	fmt.Fprintf(&out, "HTTP/1.1 %s\r\n", head)
	if text != nil {
		fmt.Fprintf(&out, "Content-Length: %d\r\n", len(text))
	}
	out.WriteString("\r\n")
	if c.Method != "HEAD" {
		out.Write(text)
	}
	_, err = w.Write(out.Bytes())
	return err == nil
}
