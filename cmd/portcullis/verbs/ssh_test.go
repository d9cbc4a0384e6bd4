package verbs_test

import (
	"fmt"
	"os"
	"strconv"
	"time"
)

// linger is a session that goes on, as the environment says: for a while, or until a file is there, a minute at most.
func linger() {
	if at := os.Getenv("SSH_STARTED"); at != "" {
		if err := os.WriteFile(at, nil, 0o600); err != nil {
			os.Exit(98)
		}
	}
	if until := os.Getenv("SSH_UNTIL"); until != "" && !appears(until) {
		os.Exit(97)
	}
	lasts, _ := time.ParseDuration(os.Getenv("SSH_LASTS"))
	time.Sleep(lasts)
}

// appears waits until a file is there, a minute at most.
func appears(file string) bool {
	for range 6000 {
		if _, err := os.Stat(file); err == nil {
			return true
		}
		time.Sleep(10 * time.Millisecond)
	}
	return false
}

// fakeSSH is OpenSSH's client for sessions: it prints its arguments, one a line. Its environment says what its configuration
// is, how it ends, and that it must not be started.
func fakeSSH() {
	if os.Getenv("SSH_FORBIDDEN") != "" && os.Args[1] != "-G" {
		fmt.Fprintln(os.Stderr, "ssh was started")
		os.Exit(99)
	}
	if os.Args[1] == "-G" {
		port := os.Getenv("SSH_SAYS_PORT")
		if port == "" {
			port = "22"
		}
		fmt.Println("port", port)
		if alias := os.Getenv("SSH_SAYS_ALIAS"); alias != "" {
			fmt.Println("hostkeyalias", alias)
		}
		return
	}
	for _, arg := range os.Args[1:] {
		fmt.Println(arg)
	}
	linger()
	code, _ := strconv.Atoi(os.Getenv("SSH_EXIT"))
	os.Exit(code)
}
