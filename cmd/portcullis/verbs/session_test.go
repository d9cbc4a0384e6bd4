package verbs_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
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

// result is how one run of the program went.
type result struct {
	code     exit.Code
	out, err string
}

// run calls the program as a person does. env is NAME, value pairs.
func run(t *testing.T, env map[string]string, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	code := verbs.Run(t.Context(), args, verbs.World{In: &bytes.Buffer{}, Out: &out, Err: &errs, Now: time.Now, RetryDelay: time.Millisecond,
		Getenv: func(name string) string { return env[name] }})
	return result{code, out.String(), errs.String()}
}

// as gives the environment of a person.
func as(t *testing.T, app *apptest.App, name string) map[string]string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{"PORTCULLIS_URL": app.URL, "PORTCULLIS_TOKEN_COMMAND": apptest.Command(self, name), "PORTCULLIS_CONFIG": filepath.Join(t.TempDir(), "config.json")}
}

func TestMachines(t *testing.T) {
	t.Parallel()
	app := apptest.New(t, "web", "db", "prod/web")
	for _, row := range []struct {
		who  string
		args []string
		code exit.Code
		out  string
	}{
		{"nobody", []string{"machines"}, exit.Refused, ""},
		{"reader", []string{"machines", "db"}, exit.Done, "NAME  GROUP  LOCATION    STATE          PORTS  HOST          OPEN\ndb    demo   westeurope  notConfigured         198.51.100.5\n"},
		{"reader", []string{"machines", apptest.VM("prod", "WEB")}, exit.Done, "NAME  GROUP  LOCATION    STATE          PORTS  HOST          OPEN\nweb   prod   westeurope  notConfigured         198.51.100.6\n"},
	} {
		t.Run(fmt.Sprint(row.who, row.args), func(t *testing.T) {
			if got := run(t, as(t, app, row.who), row.args...); got.code != row.code || got.out != row.out {
				t.Errorf("code %d, stdout\n%s\nstderr\n%s", got.code, got.out, got.err)
			}
		})
	}
}
