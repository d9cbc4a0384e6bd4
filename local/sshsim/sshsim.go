// Package sshsim is the SSH server of a demo machine: real SSH, spoken by golang.org/x/crypto/ssh, with no shell behind it.
//
// Its host key and the one key that opens it are made anew each time, and are in a folder together with the files by which OpenSSH's client uses
// them: config, known_hosts and key. It has no port of its own: who holds a connection hands it over.
//
// It leaves out everything that would reach this machine: there is no shell, no files (scp, sftp, rsync), no forwarding of ports,
// agents or X11, and no environment. A session knows the few words that "help" lists.
package sshsim

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gliderlabs/ssh"
	crypto "golang.org/x/crypto/ssh"
)

// User is the account that the demo's config names. Any other is the same one.
const User = "demo"

// idle is how long a session may say nothing.
const idle = time.Hour

// Server answers for one machine.
type Server struct {
	name   string
	folder string
	server *ssh.Server
}

// New returns a server for the machine of that name and makes its files in the folder, in place of those of an earlier one. aliases are the
// names under which a client may look its host key up, beside the name.
func New(folder, name string, aliases ...string) (*Server, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	folder, err := filepath.Abs(folder)
	if err != nil {
		return nil, err
	}
	_, host, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	signer, err := crypto.NewSignerFromKey(host)
	if err != nil {
		return nil, err
	}
	s := &Server{name: name, folder: folder}
	allowed, err := s.files(signer.PublicKey(), append([]string{name}, aliases...))
	if err != nil {
		return nil, fmt.Errorf("make the files of %s: %w", name, err)
	}
	s.server = &ssh.Server{
		Handler: s.session, IdleTimeout: idle, Version: "portcullis-demo",
		HostSigners: []ssh.Signer{signer},
		// Nothing else is answered: no forwarding, and no subsystem such as sftp.
		ChannelHandlers:  map[string]ssh.ChannelHandler{"session": ssh.DefaultSessionHandler},
		PublicKeyHandler: func(_ ssh.Context, key ssh.PublicKey) bool { return ssh.KeysEqual(key, allowed) },
	}
	return s, nil
}

// Config is the path of the file that OpenSSH's -F takes.
func (s *Server) Config() string { return filepath.Join(s.folder, "config") }

// Serve speaks with a client until it or the connection ends.
func (s *Server) Serve(conn net.Conn) { s.server.HandleConn(conn) }

// Close ends every session.
func (s *Server) Close() error { return s.server.Close() }

// files writes what a client needs and returns the key that is let in.
func (s *Server) files(host crypto.PublicKey, names []string) (crypto.PublicKey, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	block, err := crypto.MarshalPrivateKey(private, "the demo of portcullis")
	if err != nil {
		return nil, err
	}
	key := filepath.Join(s.folder, "key")
	known := filepath.Join(s.folder, "known_hosts")
	config := strings.Join([]string{
		"Host " + s.name,
		"  User " + User,
		"  IdentityFile " + quoted(key),
		"  IdentitiesOnly yes",
		"  UserKnownHostsFile " + quoted(known),
		"  HostKeyAlias " + s.name,
		"  StrictHostKeyChecking yes", "",
	}, "\n")
	for name, text := range map[string][]byte{
		key:        pem.EncodeToMemory(block),
		known:      []byte(strings.Join(names, ",") + " " + string(crypto.MarshalAuthorizedKey(host))),
		s.Config(): []byte(config),
	} {
		// Replaced whole: a client never reads half of one, nor an older one's wider permissions.
		if err := os.WriteFile(name+".new", text, 0o600); err != nil {
			return nil, err
		}
		if err := os.Rename(name+".new", name); err != nil {
			return nil, err
		}
	}
	return crypto.NewPublicKey(public)
}

// quoted writes a path as ssh_config takes it: a percent sign begins a token there.
func quoted(path string) string { return `"` + strings.ReplaceAll(path, "%", "%%") + `"` }
