package sshsim_test

import (
	"crypto/ed25519"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"portcullis/local/sshsim"
)

func open(t *testing.T) (*sshsim.Server, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "a 100% odd folder")
	s, err := sshsim.New(dir, "web", "web.demo.portcullis")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, dir
}

// signer reads the key that a folder holds.
func signer(t *testing.T, dir string) ssh.Signer {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "key"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.ParsePrivateKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// dial connects as OpenSSH would: by the folder's known_hosts, under the name.
func dial(t *testing.T, s *sshsim.Server, dir, name string, auth ...ssh.AuthMethod) (*ssh.Client, error) {
	t.Helper()
	check, err := knownhosts.New(filepath.Join(dir, "known_hosts"))
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	near, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(far)
	t.Cleanup(func() { near.Close() })
	if err := near.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	conn, channels, requests, err := ssh.NewClientConn(near, name+":22", &ssh.ClientConfig{User: sshsim.User, Auth: auth,
		HostKeyCallback: func(host string, _ net.Addr, key ssh.PublicKey) error {
			return check(host, &net.TCPAddr{Port: 22}, key)
		}})
	if err != nil {
		return nil, err
	}
	client := ssh.NewClient(conn, channels, requests)
	t.Cleanup(func() { client.Close() })
	return client, nil
}

// TestOneKey: no way in but the folder's key, and that only to a server whose host key the folder names.
func TestOneKey(t *testing.T) {
	s, dir := open(t)
	_, stranger, _ := ed25519.GenerateKey(nil)
	other, err := ssh.NewSignerFromKey(stranger)
	if err != nil {
		t.Fatal(err)
	}
	old := signer(t, dir)
	for name, auth := range map[string][]ssh.AuthMethod{
		"nothing":        nil,
		"another key":    {ssh.PublicKeys(other)},
		"a password":     {ssh.Password("demo")},
		"a conversation": {ssh.KeyboardInteractive(func(_, _ string, q []string, _ []bool) ([]string, error) { return make([]string, len(q)), nil })},
	} {
		if _, err := dial(t, s, dir, "web", auth...); err == nil {
			t.Errorf("%s comes in", name)
		}
	}
	for _, name := range []string{"web", "web.demo.portcullis"} {
		if _, err := dial(t, s, dir, name, ssh.PublicKeys(old)); err != nil {
			t.Errorf("the folder's key, to %s: %v", name, err)
		}
	}
	if _, err := dial(t, s, dir, "app1", ssh.PublicKeys(old)); err == nil {
		t.Error("it answers for another machine")
	}
	again, err := sshsim.New(dir, "web")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dial(t, again, dir, "web", ssh.PublicKeys(old)); err == nil {
		t.Error("the key of an earlier run comes in")
	}
	for _, name := range []string{"key", "known_hosts", "config"} {
		if f, err := os.Stat(filepath.Join(dir, name)); err != nil || f.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, f, err)
		}
	}
	config, err := os.ReadFile(s.Config())
	if err != nil || !strings.Contains(string(config), `a 100%% odd folder/key"`) {
		t.Errorf("%s, %v", config, err)
	}
}

// TestNoShell: what a shell would do is not done, and nothing else is offered.
func TestNoShell(t *testing.T) {
	s, dir := open(t)
	client, err := dial(t, s, dir, "web", ssh.PublicKeys(signer(t, dir)))
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		line, out string
		status    int
	}{
		{"hostname", "web\n", 0},
		{"whoami", "demo\n", 0},
		{"echo $HOME; id", "$HOME; id\n", 0},
		{"exit 7", "", 7},
		{"exit", "", 0},
		{"exit 256", "exit: a status is a number from 0 to 255\n", 2},
		{"exit -1", "exit: a status is a number from 0 to 255\n", 2},
		{"cat /etc/passwd", "\"cat\" is not known here; help lists what is\n", 127},
		{"/bin/sh", "\"/bin/sh\" is not known here; help lists what is\n", 127},
	} {
		session, err := client.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		out, err := session.Output(row.line)
		status := 0
		if exit, ok := err.(*ssh.ExitError); ok {
			status = exit.ExitStatus()
		} else if err != nil {
			t.Errorf("%s: %v", row.line, err)
		}
		if string(out) != row.out || status != row.status {
			t.Errorf("%s: %q, status %d; want %q, %d", row.line, out, status, row.out, row.status)
		}
	}
	if c, err := client.Dial("tcp", "127.0.0.1:22"); err == nil {
		c.Close()
		t.Error("it forwards connections")
	}
	if l, err := client.Listen("tcp", "127.0.0.1:0"); err == nil {
		l.Close()
		t.Error("it listens for others")
	}
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if err := session.RequestSubsystem("sftp"); err == nil {
		t.Error("it has files")
	}
}

// TestLines: a person at a terminal and a script through a pipe are answered line by line.
func TestLines(t *testing.T) {
	s, dir := open(t)
	client, err := dial(t, s, dir, "web", ssh.PublicKeys(signer(t, dir)))
	if err != nil {
		t.Fatal(err)
	}
	for _, terminal := range []bool{false, true} {
		session, err := client.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		end := "\n"
		if terminal {
			end = "\r"
			if err := session.RequestPty("xterm", 24, 80, nil); err != nil {
				t.Fatal(err)
			}
		}
		session.Stdin = strings.NewReader("hostname" + end + "exit 3" + end)
		var out strings.Builder
		session.Stdout = &out
		if err := session.Shell(); err != nil {
			t.Fatal(err)
		}
		exit, ok := session.Wait().(*ssh.ExitError)
		if !ok || exit.ExitStatus() != 3 || !strings.Contains(out.String(), "web") || terminal != strings.Contains(out.String(), "No shell") {
			t.Errorf("terminal %v: %q, %v", terminal, out.String(), exit)
		}
	}
}
