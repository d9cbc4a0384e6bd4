package sshsim

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/gliderlabs/ssh"
	"golang.org/x/term"
)

// The bounds of what a client sends without a terminal; a terminal's line is bounded by package term.
const maxLine = 4096

// notFound is a shell's exit status for a word that it does not know.
const notFound = 127

// session answers one command, or the lines of a person or a pipe.
func (s *Server) session(session ssh.Session) {
	if line := session.RawCommand(); line != "" {
		status, _ := s.answer(session, line)
		_ = session.Exit(status) // the client has gone
		return
	}
	next := lines(session)
	_, windows, terminal := session.Pty()
	out := io.Writer(session)
	if terminal {
		t := term.NewTerminal(session, User+"@"+s.name+":~$ ")
		go func() {
			for w := range windows { // ends with the session
				_ = t.SetSize(w.Width, w.Height)
			}
		}()
		next, out = t.ReadLine, t
		fmt.Fprintf(out, "This is %s, a machine of the demo. No shell is behind it: help lists what it knows.\n", s.name)
	}
	status := 0
	for {
		line, err := next()
		if err != nil {
			break
		}
		var leave bool
		if status, leave = s.answer(out, line); leave {
			break
		}
	}
	_ = session.Exit(status)
}

// lines reads lines that come through a pipe.
func lines(r io.Reader) func() (string, error) {
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, maxLine)
	return func() (string, error) {
		if scanner.Scan() {
			return scanner.Text(), nil
		}
		return "", io.EOF
	}
}

// answer does what a line says. leave is set where the session is to end.
func (s *Server) answer(w io.Writer, line string) (status int, leave bool) {
	word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	switch word {
	case "":
	case "help":
		fmt.Fprintln(w, "echo WORDS, exit [STATUS], help, hostname, whoami")
	case "hostname":
		fmt.Fprintln(w, s.name)
	case "whoami":
		fmt.Fprintln(w, User)
	case "echo":
		fmt.Fprintln(w, rest)
	case "exit":
		n, err := strconv.ParseUint(strings.TrimSpace(rest), 10, 8)
		if err != nil && rest != "" {
			fmt.Fprintln(w, "exit: a status is a number from 0 to 255")
			n = 2
		}
		return int(n), true
	default:
		fmt.Fprintf(w, "%q is not known here; help lists what is\n", word)
		return notFound, false
	}
	return 0, false
}
