package tablesim_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"testing"

	"portcullis/local/tablesim"
)

// childDir makes the test binary a server on that folder, to be killed.
const childDir = "TABLESIM_CHILD_DIR"

func TestMain(m *testing.M) {
	dir := os.Getenv(childDir)
	if dir == "" {
		os.Exit(m.Run())
	}
	if err := serveChild(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// serveChild prints its address and serves until it is killed, or until its
// standard input ends because the parent is gone.
func serveChild(dir string) error {
	sim, err := tablesim.Open(tablesim.Config{Dir: dir, Verify: verify})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	go func() {
		obey(os.Stdin, dir)
		os.Exit(0)
	}()
	return http.Serve(l, sim)
}
