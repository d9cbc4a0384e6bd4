package verbs

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"portcullis/cmd/portcullis/exit"
)

func openVerb(s *session) *cobra.Command {
	var show bool
	cmd := &cobra.Command{Use: "open", GroupID: own, Args: cobra.NoArgs, Short: "Open the page in the browser",
		RunE: func(*cobra.Command, []string) error {
			app, err := s.open()
			if err != nil {
				return err
			}
			page := app.App() + "/api/portal/" // client.New takes https, and http on this machine, alone
			if show {
				_, err := fmt.Fprintln(s.world.Out, page)
				return err
			}
			if err := s.world.Browse(page); err != nil {
				return exit.With(exit.Failed, fmt.Errorf("no browser could be started for %s: %w", page, err))
			}
			s.term.Say("%s", page)
			return nil
		}}
	cmd.Flags().BoolVar(&show, "print", false, "print the address of the page, and start nothing")
	return cmd
}

// manVerb writes the manual, from what the help says.
func manVerb(*session) *cobra.Command {
	return &cobra.Command{Use: "man folder", GroupID: own, Args: cobra.ExactArgs(1), Short: "Write the manual pages into a folder, such as /usr/local/share/man/man1",
		RunE: func(cmd *cobra.Command, args []string) error {
			if info, err := os.Stat(args[0]); err != nil || !info.IsDir() {
				return exit.Usagef("%q is not a folder", args[0])
			}
			page := cmd.Root()
			page.DisableAutoGenTag = true // the day on which it was written is no part of it
			// A fixed day, or the same build would give other pages tomorrow.
			day := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			before, _, _ := strings.Cut(version(), "+")
			return exit.With(exit.Failed, doc.GenManTree(page, &doc.GenManHeader{Title: "PORTCULLIS", Section: "1", Source: "Portcullis " + before, Manual: "Portcullis", Date: &day}, args[0]))
		}}
}
