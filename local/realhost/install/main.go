// Command install puts the Functions host that Azure runs into the user's cache, for the
// tests of local/realhost and for `make run HOST=real`. It does nothing where the host is there.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"portcullis/local/realhost"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := realhost.Install(ctx, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "install:", err)
		os.Exit(1)
	}
}
