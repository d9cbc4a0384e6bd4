// Command archive writes an assembled app as the zip that is deployed:
//
//	go run ./local/archive -app dist/linux-amd64 -out dist/portcullis-linux-amd64.zip
//
// The same files give the same bytes, whenever and by whomever they were built:
// names are sorted, times are those of 1980, and of the modes only the execute bit counts.
// It stays set on the handler alone, since the Functions host sets it by itself
// on some plans only.
//
// The app is what local/pack assembles: host.json and the handler, and beside
// them one folder for each function with its function.json; and the licences of others that
// local/notices writes, without which nothing of them may be given away. Anything else is refused rather
// than left out: a settings file or a key that got into the folder must not be
// deployed, and somebody should know that it is there.
//
// It leaves out building, assembling and deploying. That the platform unpacks
// modes as they are is documented for zips made on Linux, and not verified here.
package main

import (
	"archive/zip"
	"debug/elf"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"time"
)

// handler is customHandler.description.defaultExecutablePath of host.json.
const handler = "handlers"

// notices is what local/notices writes.
const notices = "THIRD-PARTY-NOTICES.txt"

func main() {
	app := flag.String("app", "", "folder that holds the assembled app")
	out := flag.String("out", "", "zip to write")
	flag.Parse()
	if *app == "" || *out == "" || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := archive(*app, *out); err != nil {
		fmt.Fprintln(os.Stderr, "archive:", err)
		os.Exit(1)
	}
}

// archive writes the app to the zip out, which appears whole or not at all.
func archive(app, out string) (err error) {
	fsys := os.DirFS(app)
	files, err := list(fsys)
	if err != nil {
		return err
	}
	if err := checkHandler(fsys); err != nil {
		return err
	}
	partial := out + ".partial"
	w, err := os.OpenFile(partial, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, w.Close()); err == nil {
			err = os.Rename(partial, out)
		}
		if err != nil {
			err = errors.Join(err, os.Remove(partial))
		}
	}()
	return write(w, fsys, files)
}

// list returns the names of the app's files, sorted, and refuses what has no place in one.
func list(fsys fs.FS) ([]string, error) {
	var files []string
	functions := 0
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		dir, base := path.Split(name)
		switch {
		case d.IsDir() && dir == "":
			return nil
		case !d.Type().IsRegular():
		case name == "host.json", name == handler, name == notices:
			files = append(files, name)
			return nil
		case base == "function.json" && path.Dir(path.Clean(dir)) == "." && dir != "":
			functions++
			files = append(files, name)
			return nil
		}
		return fmt.Errorf("%s has no place in an app: remove it, or find out how it came there", name)
	})
	switch {
	case err != nil:
		return nil, err
	case !slices.Contains(files, "host.json"):
		return nil, errors.New("there is no host.json: assemble the app first")
	case !slices.Contains(files, handler):
		return nil, fmt.Errorf("there is no %s: build it first", handler)
	case !slices.Contains(files, notices):
		return nil, fmt.Errorf("there is no %s: run local/notices first", notices)
	case functions == 0:
		return nil, errors.New("there is no function: assemble the app first")
	}
	slices.Sort(files)
	return files, nil
}

// checkHandler refuses a handler that could not start where it is deployed: one
// that is not for Linux, or that needs a dynamic linker.
func checkHandler(fsys fs.FS) error {
	f, err := fsys.Open(handler)
	if err != nil {
		return err
	}
	defer f.Close()
	at, ok := f.(io.ReaderAt)
	if !ok {
		return fmt.Errorf("%s cannot be read at random", handler)
	}
	binary, err := elf.NewFile(at)
	if err != nil {
		return fmt.Errorf("%s is not a program for Linux: %w", handler, err)
	}
	for _, p := range binary.Progs {
		if p.Type == elf.PT_INTERP {
			return fmt.Errorf("%s is linked dynamically: build it with CGO_ENABLED=0", handler)
		}
	}
	return nil
}

// write writes the zip.
func write(w io.Writer, fsys fs.FS, files []string) error {
	z := zip.NewWriter(w)
	for _, name := range files {
		header := &zip.FileHeader{Name: name, Method: zip.Deflate, Modified: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)}
		header.SetMode(0o644)
		if name == handler {
			header.SetMode(0o755)
		}
		entry, err := z.CreateHeader(header)
		if err != nil {
			return fmt.Errorf("add %s: %w", name, err)
		}
		f, err := fsys.Open(name)
		if err != nil {
			return err
		}
		_, err = io.Copy(entry, f)
		if err = errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("add %s: %w", name, err)
		}
	}
	return z.Close()
}
