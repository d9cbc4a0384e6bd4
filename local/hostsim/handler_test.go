package hostsim_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// TestMain runs the test binary as the handler when the host starts it as one:
// HANDLER says how it is to behave.
func TestMain(m *testing.M) {
	if mode := os.Getenv("HANDLER"); mode != "" {
		os.Exit(handle(mode))
	}
	os.Exit(m.Run())
}

// seen is what a handler reports of a request: the body of its answer to an
// HTTP function, and what it sends to the test for a trigger.
type seen struct {
	Method, URI, Host, Body string
	Header                  http.Header
	Length                  int64
	Coding                  []string
	PID                     int
	Args, Env               []string // Env: the host's own variables
	Dir                     string
}

// handle is the handler process. The mode is a word, or a word and a number.
//
//	echo      answers HTTP functions with what it saw, triggers as REPORT says
//	exit N    ends with exit code N as soon as it has started
//	once N    as exit, but only the first process; then echo
//	mute      never listens
//	parent    as echo, but starts a child of mode orphan first
//	orphan    connects to ORPHAN, a listener of the test, and stays
//
// Every trigger's envelope is posted to REPORT, a server of the test; what that
// answers is the handler's answer. A report header "Die" ends the handler with
// the code it holds, without an answer.
func handle(mode string) int {
	word, number, _ := strings.Cut(mode, " ")
	switch word {
	case "once":
		mark, err := os.OpenFile(os.Getenv("MARK"), os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			break
		}
		mark.Close()
		fallthrough
	case "exit":
		code, err := strconv.Atoi(number)
		if err != nil {
			return 99
		}
		return code
	case "mute":
		select {}
	case "parent":
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), "HANDLER=orphan")
		if err := child.Start(); err != nil {
			return 96
		}
	case "orphan":
		c, err := net.Dial("tcp", os.Getenv("ORPHAN"))
		if err != nil {
			return 95
		}
		io.Copy(io.Discard, c)
		return 0
	}
	l, err := net.Listen("tcp", "127.0.0.1:"+os.Getenv("FUNCTIONS_CUSTOMHANDLER_PORT"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 98
	}
	fmt.Println("listening")
	fmt.Fprintln(os.Stderr, "a warning")
	fmt.Fprintln(os.Stderr, "an error")
	return exitCode(http.Serve(l, http.HandlerFunc(serve)))
}

func exitCode(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 97
}

func serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s := seen{
		Method: r.Method, URI: r.RequestURI, Host: r.Host, Header: r.Header, Body: string(body),
		Length: r.ContentLength, Coding: r.TransferEncoding, PID: os.Getpid(),
	}
	s.Args = os.Args[1:]
	s.Dir, _ = os.Getwd()
	for _, e := range os.Environ() {
		if strings.HasPrefix(e, "FUNCTIONS_") {
			s.Env = append(s.Env, e)
		}
	}
	if r.URL.Path == "/" { // the probe
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if !strings.HasPrefix(strings.ToLower(r.URL.Path), "/api/") || r.Header.Get("Ask") != "" {
		report(w, s)
		return
	}
	text, err := json.Marshal(s)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	status := http.StatusOK
	if want := r.Header.Get("Want-Status"); want != "" {
		status, _ = strconv.Atoi(want)
		w.Header().Set("Location", "/elsewhere")
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header()["X-Twice"] = []string{"a", "b"}
	w.WriteHeader(status)
	w.Write(text)
}

// report posts what was seen to the test and answers as it says.
func report(w http.ResponseWriter, s seen) {
	text, err := json.Marshal(s)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	resp, err := http.Post(os.Getenv("REPORT"), "application/json", strings.NewReader(string(text)))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer resp.Body.Close()
	if code := resp.Header.Get("Die"); code != "" {
		n, _ := strconv.Atoi(code)
		os.Exit(n)
	}
	if _, ok := resp.Header["Content-Type"]; ok {
		w.Header().Set("Content-Type", resp.Header.Get("Content-Type"))
	} else {
		w.Header()["Content-Type"] = nil
	}
	w.WriteHeader(resp.StatusCode)
	io.Copy(w, resp.Body)
}
