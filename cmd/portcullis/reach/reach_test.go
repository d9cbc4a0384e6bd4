package reach_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"portcullis/cmd/portcullis/exit"
	"portcullis/cmd/portcullis/reach"
	"portcullis/handlers/api"
)

// TestPlacesRefused: what an app answers reaches no program before it is known to be an address or a plain name.
func TestPlacesRefused(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"", "-oProxyCommand=true", "a b", "a;b", "%h", "a'b", `a"b`, "$(id)", "a/b", "fe80::1%eth0", "[::1]", "a.", "a\nb"} {
		if got, err := reach.Places(api.GrantPort{Number: 22, Prefix: "*", Connect: []api.Connect{{Host: host, Port: 22}}}); err == nil {
			t.Errorf("%q is dialled: %v", host, got)
		}
	}
	if got, err := reach.Places(api.GrantPort{Number: 22, Connect: []api.Connect{{Host: "192.0.2.1"}}}); err == nil {
		t.Errorf("port 0 is dialled: %v", got)
	}
}

// TestPlaces: dialled are the addresses of the families that the window lets in.
func TestPlaces(t *testing.T) {
	t.Parallel()
	both := []api.Connect{{Host: "2001:db8::1", Port: 22}, {Host: "192.0.2.1", Port: 50022}}
	for _, row := range []struct {
		name    string
		port    api.GrantPort
		want    []string
		refused string
	}{
		{"IPv4", api.GrantPort{Prefix: "203.0.113.7", Connect: both}, []string{"192.0.2.1:50022"}, ""},
		{"IPv6", api.GrantPort{Prefix: "2001:db8:1::/64", Connect: both}, []string{"[2001:db8::1]:22"}, ""},
		{"both", api.GrantPort{Prefixes: []string{"203.0.113.0/24", "2001:db8:1::7"}, Connect: both}, []string{"[2001:db8::1]:22", "192.0.2.1:50022"}, ""},
		{"anybody", api.GrantPort{Prefix: "*", Connect: both}, []string{"[2001:db8::1]:22", "192.0.2.1:50022"}, ""},
		{"a name", api.GrantPort{Prefix: "203.0.113.7", Connect: []api.Connect{{Host: "web.example", Port: 22}}}, []string{"web.example:22"}, ""},
		{"the other family alone", api.GrantPort{Number: 22, Prefix: "203.0.113.7", Connect: both[:1]}, nil, "port 22 is open for 203.0.113.7, and the machine has no address of that family"},
		{"nothing", api.GrantPort{Number: 22, Prefix: "*"}, nil, "the app names no address at which port 22 can be dialled"},
	} {
		got, err := reach.Places(row.port)
		var texts []string
		for _, p := range got {
			texts = append(texts, p.String())
		}
		if diff := cmp.Diff(row.want, texts); diff != "" || (row.refused == "") != (err == nil) || err != nil && err.Error() != row.refused {
			t.Errorf("%s: %v, %s", row.name, err, diff)
		}
	}
}

func TestInstead(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "192.0.2.1:22", "192.0.2.1:22:127.0.0.1", "192.0.2.1:22:127.0.0.1:x", "192.0.2.1:22:127.0.0.1:65536", "192.0.2.1:22:127.0.0.1:0",
		"::1:22:127.0.0.1:22", "a b:22:127.0.0.1:22", "192.0.2.1:22:-x:22", "[192.0.2.1:22:127.0.0.1:22", "192.0.2.1:22:127.0.0.1:22:"} {
		if _, err := reach.ParseInstead([]string{text}); exit.Of(err) != exit.Usage {
			t.Errorf("%q: %v", text, err)
		}
	}
	i, err := reach.ParseInstead([]string{"192.0.2.1:22:127.0.0.1:2222", "[2001:db8::1]:22:[::1]:2223"})
	if err != nil {
		t.Fatal(err)
	}
	got := i.Of([]reach.Place{{Host: "192.0.2.1", Port: 22}, {Host: "192.0.2.1", Port: 23}, {Host: "2001:db8::1", Port: 22}})
	if want := "[127.0.0.1:2222 192.0.2.1:23 [::1]:2223]"; fmt.Sprint(got) != want {
		t.Errorf("%v, want %s", got, want)
	}
}

// TestDial: the next place is tried where one does not answer, and none is exit code 6.
func TestDial(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	there := reach.Place{Host: "127.0.0.1", Port: uint16(l.Addr().(*net.TCPAddr).Port)}
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := reach.Place{Host: "127.0.0.1", Port: uint16(gone.Addr().(*net.TCPAddr).Port)}
	gone.Close()
	defer l.Close()
	if _, err := reach.Dial(t.Context(), []reach.Place{nobody}); exit.Of(err) != exit.Unreachable || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("%v", err)
	}
	conn, err := reach.Dial(t.Context(), []reach.Place{nobody, there})
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

// TestPass: every byte comes through both ways, and the machine's end ends it, also while this side says nothing.
func TestPass(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	sent := bytes.Repeat([]byte{0, 1, '\r', '\n', 0xff}, 1<<17)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		got := make([]byte, len(sent))
		_, _ = io.ReadFull(conn, got)
		_, _ = conn.Write(got)
		conn.Close()
	}()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	in, silent := io.Pipe() // never ends by itself
	defer silent.Close()
	go silent.Write(sent)
	var out bytes.Buffer
	if err := reach.Pass(conn, in, &out); err != nil || !bytes.Equal(out.Bytes(), sent) {
		t.Errorf("%d of %d bytes came, %v", out.Len(), len(sent), err)
	}
}
