// Command portcullis opens, lists and closes just-in-time access to virtual machines, from a terminal or a script. It is a client of the
// documented API and of nothing else. It runs no shell: programs that it starts get their arguments as a list.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"portcullis/cmd/portcullis/verbs"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	code := verbs.Run(ctx, os.Args[1:], verbs.System())
	stop()
	os.Exit(int(code))
}
