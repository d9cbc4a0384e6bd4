//go:build linux

package tablesim_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"

	"portcullis/local/tablesim"
)

// TestFullDisk lets the kernel refuse the server's writes, as on a full disk: what is answered with an error is not
// there, everything answered before can be read, and once there is space again the same process writes, also after more such times.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	child, stdin, out, address := startChild(t, dir)
	t.Cleanup(func() { _ = stdin.Close(); _ = child.Wait() }) // it ends with its input
	space := func(command string) {
		t.Helper()
		if _, err := io.WriteString(stdin, command+"\n"); err != nil {
			t.Fatal(err)
		}
		if got, err := out.ReadString('\n'); err != nil || strings.TrimSpace(got) != command {
			t.Fatalf("%q, %v", got, err)
		}
	}
	table := created(t, connect(t, "https://"+address, goodToken), "survivors")
	text := strings.Repeat("x", 20_000)
	want := map[string]bool{}
	add := func(n int) error {
		key := fmt.Sprintf("%06d", n)
		_, err := table.AddEntity(t.Context(), []byte(`{"PartitionKey":"p","RowKey":"`+key+`","Text":"`+text+`"}`), nil)
		if err == nil {
			want[key] = true
		}
		return err
	}
	stands := func(what string) {
		t.Helper()
		found := 0
		for _, page := range pages(t, table, aztables.ListEntitiesOptions{}) {
			for _, e := range page {
				found++
				if !want[e["RowKey"].(string)] {
					t.Errorf("%s: row %s was refused and is there", what, e["RowKey"])
				}
			}
		}
		if found != len(want) {
			t.Errorf("%s: %d rows, want %d", what, found, len(want))
		}
	}
	n := 0
	for round := range 3 {
		for range 10 {
			n++
			if err := add(n); err != nil {
				t.Fatal(err)
			}
		}
		space("full")
		refused := 0
		for range 300 { // what is free inside the file is used first
			n++
			err := add(n)
			if answer, ok := errors.AsType[*azcore.ResponseError](err); ok && answer.StatusCode == 500 {
				refused++
			} else if err != nil {
				t.Fatalf("a full disk answers %v", err)
			}
			if refused == 3 {
				break
			}
		}
		if refused != 3 {
			t.Fatalf("%d writes refused: the disk was not full", refused)
		}
		stands(fmt.Sprint("full, round ", round))
		space("free")
		for range 10 {
			n++
			if err := add(n); err != nil {
				t.Fatalf("there is space again: %v", err)
			}
		}
		stands(fmt.Sprint("free, round ", round))
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // it was killed
	_, url := serve(t, tablesim.Config{Dir: dir})
	table = connect(t, url, goodToken).NewClient("survivors")
	stands("after a restart")
}
