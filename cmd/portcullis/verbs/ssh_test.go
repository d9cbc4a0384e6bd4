package verbs_test

import (
	"fmt"
	"os"
	"strconv"
)

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
	code, _ := strconv.Atoi(os.Getenv("SSH_EXIT"))
	os.Exit(code)
}
