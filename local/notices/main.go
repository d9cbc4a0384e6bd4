// Command notices writes the licences of everything of others that is in a built handler, to be given away with it:
//
//	go run ./local/notices -program dist/linux-amd64/handlers -out dist/linux-amd64/THIRD-PARTY-NOTICES.txt
//
// Run it in the sources that the handler was built from. The same handler gives the same bytes. What is looked at, and what is
// refused, is local/thirdparty's to say.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"portcullis/local/thirdparty"
)

func main() {
	program := flag.String("program", "", "handler to look into")
	src := flag.String("src", ".", "folder of the sources that it was built from")
	out := flag.String("out", "", "file to write")
	flag.Parse()
	if *program == "" || *out == "" || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := write(*src, *program, *out); err != nil {
		fmt.Fprintln(os.Stderr, "notices:", err)
		os.Exit(1)
	}
}

func write(src, program, out string) error {
	parts, err := thirdparty.Of(context.Background(), src, program)
	if err != nil {
		return err
	}
	own, err := licence(os.DirFS(src))
	if err != nil {
		return err
	}
	return os.WriteFile(out, []byte(text(own, parts)), 0o644)
}

// licence says under which licence Portcullis itself is.
func licence(sources fs.FS) (string, error) {
	own, err := fs.ReadFile(sources, "LICENSE")
	if errors.Is(err, fs.ErrNotExist) {
		return "Its owner has given no licence for it yet, so that all rights in it are reserved.\n", nil
	}
	return "Its own licence:\n\n" + string(own), err
}

const rule = "--------------------------------------------------------------------------------\n"

func text(own string, parts []thirdparty.Part) string {
	var b strings.Builder
	b.WriteString("Portcullis. " + own + "\nThe program has parts of others in it, each under the licence that follows below:\n\n")
	for _, p := range parts {
		fmt.Fprintf(&b, "    %s (%s)\n", title(p), strings.Join(p.Licences, ", "))
	}
	for _, p := range parts {
		for _, t := range p.Texts {
			fmt.Fprintf(&b, "\n%s%s: %s\n%s\n%s\n", rule, title(p), t.Name, rule, strings.TrimRight(strings.ReplaceAll(t.Text, "\r\n", "\n"), "\n"))
		}
	}
	return b.String()
}

// title names a part as readers know it.
func title(p thirdparty.Part) string {
	switch {
	case p.NPM:
		return p.Name + " " + p.Version + ", from npm"
	case p.Name == "std":
		return "Go's standard library " + p.Version
	}
	return strings.TrimSpace(p.Name + " " + p.Version)
}
