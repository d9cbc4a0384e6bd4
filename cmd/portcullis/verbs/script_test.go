package verbs_test

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"portcullis/cmd/portcullis/apptest"
	"portcullis/cmd/portcullis/verbs"
)

// TestMain lets the test's own binary be the programs that sessions start.
func TestMain(m *testing.M) {
	if apptest.Token(os.Args, os.Stdout) {
		return
	}
	testscript.Main(m, map[string]func(){
		"portcullis": func() {
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
			w := verbs.System()
			w.RetryDelay = time.Millisecond
			code := verbs.Run(ctx, os.Args[1:], w)
			stop()
			os.Exit(int(code))
		},
		// token NAME prints what a token endpoint answers for a person; no name is nobody who is signed in.
		"token": func() {
			if len(os.Args) != 2 || !apptest.Token([]string{"", "print-token", os.Args[1]}, os.Stdout) {
				os.Exit(1)
			}
		},
		"ssh": fakeSSH,
		// xdg-open is the browser: it writes down its arguments, one a line.
		"xdg-open": func() {
			if err := os.WriteFile(os.Getenv("OPENED"), []byte(strings.Join(os.Args[1:], "\n")+"\n"), 0o600); err != nil {
				os.Exit(1)
			}
		},
	})
}

// sessions is the app of a session, and what it answers in place of its own answers.
type sessions struct {
	*apptest.App
	mu     sync.Mutex
	canned map[string]canned // by METHOD path
	looks  chan string       // the id of a request that somebody looks at, for who waits for that
}

type canned struct {
	status int
	body   []byte
	header http.Header
}

// TestSessions runs the sessions of testdata/script against an app in memory: what people and scripts type, what is printed where, and the
// exit codes. A session begins signed in as nobody; `as NAME` signs in, `code N args...` runs the program and compares its exit code.
func TestSessions(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{Dir: filepath.Join("testdata", "script"), RequireExplicitExec: true, RequireUniqueNames: true,
		Setup: func(e *testscript.Env) error {
			// Names that are near to each other, one twice.
			app := &sessions{App: apptest.New(e.T().(testing.TB), "web", "web2", "db", "prod/api", "test/api"), canned: map[string]canned{}, looks: make(chan string)}
			app.Before(app.answer)
			e.Values["app"] = app
			e.Setenv("PORTCULLIS_URL", app.URL)
			e.Setenv("PORTCULLIS_CONFIG", filepath.Join(e.WorkDir, "config", "config.json"))
			e.Setenv("PORTCULLIS_TOKEN_COMMAND", `["token"]`)
			e.Setenv("PORTCULLIS_STATE", filepath.Join(e.WorkDir, "state"))
			e.Setenv("OPENED", filepath.Join(e.WorkDir, "opened"))
			e.Setenv("SUB", apptest.Subscription)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"as": as, "code": code, "answer": answerWith, "ahead": ahead, "called": called, "expire": expire, "id": id, "first": first, "looked": looked, "until": until, "hold": hold},
	})
}

func appOf(ts *testscript.TestScript) *sessions { return ts.Value("app").(*sessions) }

// answer answers calls for which a session has an answer.
func (a *sessions) answer(w http.ResponseWriter, r *http.Request) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if id, is := strings.CutPrefix(r.URL.Path, "/api/requests/"); is && r.Method == http.MethodGet {
		select {
		case a.looks <- id:
		default:
		}
	}
	c, ok := a.canned[r.Method+" "+r.URL.Path]
	if !ok {
		return false
	}
	for name, values := range c.header {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(c.status)
	_, _ = w.Write(c.body)
	return true
}

// as NAME signs in.
func as(ts *testscript.TestScript, _ bool, args []string) {
	text, err := json.Marshal(append([]string{"token"}, args...))
	ts.Check(err)
	ts.Setenv("PORTCULLIS_TOKEN_COMMAND", string(text))
}

// code N args... runs the program, whose exit code has to be N.
func code(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec("portcullis", args[1:]...); err != nil {
		exited, ok := err.(interface{ ExitCode() int })
		if !ok {
			ts.Fatalf("portcullis %q: %v", args[1:], err)
		}
		got = exited.ExitCode()
	}
	if got != want {
		ts.Fatalf("portcullis %q ends with %d, want %d", args[1:], got, want)
	}
}

// answer METHOD PATH STATUS FILE [NAME=VALUE...] has the app answer so.
func answerWith(ts *testscript.TestScript, _ bool, args []string) {
	status, err := strconv.Atoi(args[2])
	ts.Check(err)
	c := canned{status: status, body: []byte(ts.ReadFile(args[3])), header: http.Header{}}
	for _, h := range args[4:] {
		name, value, _ := strings.Cut(h, "=")
		c.header.Set(name, value)
	}
	a := appOf(ts)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.canned[args[0]+" "+args[1]] = c
}

// ahead LENGTH sets the app's clock ahead of this machine's.
func ahead(ts *testscript.TestScript, _ bool, args []string) {
	d, err := time.ParseDuration(args[0])
	ts.Check(err)
	appOf(ts).Ahead(d)
}

// expire has the app refuse every token from now on.
func expire(ts *testscript.TestScript, _ bool, _ []string) { appOf(ts).Expire() }

// called N METHOD PATH says how often something was called so far.
func called(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	for _, c := range appOf(ts).Calls() {
		if c == args[1]+" "+args[2] {
			got++
		}
	}
	if got != want {
		ts.Fatalf("%s %s was called %d times, want %d", args[1], args[2], got, want)
	}
}

// id takes the id of the request from what was printed as JSON last, for $ID.
func id(ts *testscript.TestScript, _ bool, _ []string) {
	var g struct{ ID, Hold string }
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &g))
	ts.Setenv("ID", g.ID)
	ts.Setenv("HOLD", g.Hold)
}

// first takes the id of the newest request of a list that was printed as JSON last, for $ID.
func first(ts *testscript.TestScript, _ bool, _ []string) {
	var list struct{ Value []struct{ ID string } }
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &list))
	if len(list.Value) == 0 {
		ts.Fatalf("the list is empty")
	}
	ts.Setenv("ID", list.Value[0].ID)
}

// hold takes the id of the first hold of a list that was printed as JSON last, for $HOLD.
func hold(ts *testscript.TestScript, _ bool, _ []string) {
	before := ts.Getenv("ID")
	first(ts, false, nil)
	ts.Setenv("HOLD", ts.Getenv("ID"))
	ts.Setenv("ID", before)
}

// until FILE waits until a program in the background has made a file.
func until(ts *testscript.TestScript, _ bool, args []string) {
	if !appears(ts.MkAbs(args[0])) {
		ts.Fatalf("nothing makes %s", args[0])
	}
}

// looked waits until a program in the background looks how its request stands, for $ID.
func looked(ts *testscript.TestScript, _ bool, _ []string) {
	select {
	case id := <-appOf(ts).looks:
		ts.Setenv("ID", id)
	case <-time.After(time.Minute):
		ts.Fatalf("nobody looks at a request")
	}
}
