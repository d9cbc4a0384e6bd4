package tablesim_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"

	"portcullis/local/tablesim"
)

// startChild starts a server in a process of its own, which ends with its input, and gives where it listens, and what else it says.
func startChild(t *testing.T, dir string) (child *exec.Cmd, stdin io.WriteCloser, out *bufio.Reader, address string) {
	t.Helper()
	child = exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childDir+"="+dir)
	child.Stderr = os.Stderr
	stdin, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	out = bufio.NewReader(stdout)
	line, err := out.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return child, stdin, out, strings.TrimSpace(line)
}

// TestSurvivesKill kills the server's process in the middle of writes and
// finds every answered write in the folder.
func TestSurvivesKill(t *testing.T) {
	dir := t.TempDir()
	child, stdin, _, address := startChild(t, dir)
	defer stdin.Close()
	table := created(t, connect(t, "https://"+address, goodToken), "survivors")

	answered := make(chan string, 100000)
	halfway := make(chan struct{})
	go func() {
		defer close(answered)
		reached := sync.OnceFunc(func() { close(halfway) })
		defer reached()
		for i := range cap(answered) {
			if i == 200 {
				reached()
			}
			key := fmt.Sprintf("%06d", i)
			entity := []byte(`{"PartitionKey":"p","RowKey":"` + key + `"}`)
			if _, err := table.AddEntity(t.Context(), entity, nil); err != nil {
				return // the server was killed
			}
			answered <- key
		}
	}()
	<-halfway
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // it was killed

	_, url := serve(t, tablesim.Config{Dir: dir})
	table = connect(t, url, goodToken).NewClient("survivors")
	found := map[string]bool{}
	for _, page := range pages(t, table, aztables.ListEntitiesOptions{}) {
		for _, e := range page {
			found[e["RowKey"].(string)] = true
		}
	}
	count := 0
	for key := range answered {
		count++
		if !found[key] {
			t.Errorf("row %s was answered but is lost", key)
		}
	}
	// The one write that was under way may be there or not.
	if count < 200 || len(found) > count+1 {
		t.Errorf("answered %d, found %d", count, len(found))
	}
}

// TestEntityTagsNeverRepeat holds over a standing and a backward clock and a restart.
func TestEntityTagsNeverRepeat(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	seen := map[azcore.ETag]string{}
	for _, phase := range []struct {
		name string
		now  time.Time
	}{{"first", now}, {"restarted, same time", now}, {"restarted, an hour back", now.Add(-time.Hour)}} {
		sim, err := tablesim.Open(tablesim.Config{Dir: dir, Verify: verify, Now: func() time.Time { return phase.now }})
		if err != nil {
			t.Fatal(err)
		}
		web := httptest.NewServer(sim)
		service := connect(t, "https"+web.URL[len("http"):], goodToken)
		if phase.name == "first" {
			created(t, service, "tags")
		}
		for range 20 {
			r, err := service.NewClient("tags").UpsertEntity(t.Context(), row(t, "p", "r", nil), nil)
			if err != nil {
				t.Fatal(err)
			}
			if before, ok := seen[r.ETag]; ok {
				t.Errorf("%s: etag %s was given before (%s)", phase.name, r.ETag, before)
			}
			seen[r.ETag] = phase.name
		}
		web.Close()
		if err := sim.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	if sim, err := tablesim.Open(tablesim.Config{}); err == nil {
		t.Error("Open took a config that lets nobody in", sim.Close())
	}
	dir := t.TempDir()
	serve(t, tablesim.Config{Dir: dir})
	if sim, err := tablesim.Open(tablesim.Config{Dir: dir, Verify: verify}); err == nil {
		t.Error("Open took a folder that is in use", sim.Close())
	}
}
