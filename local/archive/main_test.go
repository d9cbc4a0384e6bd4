package main

import (
	"archive/zip"
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// program returns the smallest file that reads as a program for Linux, with a
// dynamic linker or without.
func program(t *testing.T, dynamic bool) string {
	t.Helper()
	var b bytes.Buffer
	header := elf.Header64{Type: uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: 1, Phoff: 64, Ehsize: 64, Phentsize: 56}
	copy(header.Ident[:], []byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)})
	if dynamic {
		header.Phnum = 1
	}
	for _, part := range []any{header, elf.Prog64{Type: uint32(elf.PT_INTERP)}} {
		if err := binary.Write(&b, binary.LittleEndian, part); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

// folder writes files to a new folder; each mode is that of the whole folder.
func folder(t *testing.T, mode os.FileMode, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func app(t *testing.T) map[string]string {
	return map[string]string{"host.json": "{}", "handlers": program(t, false), "THIRD-PARTY-NOTICES.txt": "MIT", "sweep/function.json": `{"a":1}`, "enable/function.json": `{}`}
}

func TestRefuses(t *testing.T) {
	with := func(name, text string) map[string]string {
		files := app(t)
		files[name] = text
		return files
	}
	without := func(names ...string) map[string]string {
		files := app(t)
		for _, name := range names {
			delete(files, name)
		}
		return files
	}
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"settings", with("local.settings.json", "{}"), "local.settings.json has no place"},
		{"a settings file in a function", with("sweep/.env", "KEY=1"), "sweep/.env has no place"},
		{"a folder in a function", with("sweep/more/function.json", "{}"), "sweep/more has no place"},
		{"function.json at the root", with("function.json", "{}"), "function.json has no place"},
		{"no host.json", without("host.json"), "no host.json"},
		{"no handler", without("handlers"), "no handlers"},
		{"no licences of others", without("THIRD-PARTY-NOTICES.txt"), "no THIRD-PARTY-NOTICES.txt"},
		{"no function", without("sweep/function.json", "enable/function.json"), "no function"},
		{"a script for a handler", with("handlers", "#!/bin/sh"), "not a program for Linux"},
		{"a handler that needs a linker", with("handlers", program(t, true)), "linked dynamically"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "app.zip")
			err := archive(folder(t, 0o755, tt.files), out)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one that says %q", err, tt.want)
			}
			if left, _ := filepath.Glob(out + "*"); len(left) > 0 {
				t.Errorf("a refusal left %q", left)
			}
		})
	}
	t.Run("a link", func(t *testing.T) {
		dir := folder(t, 0o755, app(t))
		if err := os.Symlink("host.json", filepath.Join(dir, "enable", "link")); err != nil {
			t.Fatal(err)
		}
		if err := archive(dir, filepath.Join(t.TempDir(), "app.zip")); err == nil || !strings.Contains(err.Error(), "enable/link") {
			t.Errorf("error %v, want one that names enable/link", err)
		}
	})
}

// TestSameBytes checks that neither times nor modes nor where the files lie show.
func TestSameBytes(t *testing.T) {
	var zips [][]byte
	for i, mode := range []os.FileMode{0o600, 0o777} {
		dir, out := folder(t, mode, app(t)), filepath.Join(t.TempDir(), "app.zip")
		when := time.Date(2020+i, 1, 1, 0, 0, 0, 0, time.UTC)
		if err := os.Chtimes(filepath.Join(dir, "host.json"), when, when); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second writes over the first
			if err := archive(dir, out); err != nil {
				t.Fatal(err)
			}
		}
		text, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		zips = append(zips, text)
	}
	if !bytes.Equal(zips[0], zips[1]) {
		t.Error("the same files gave two different zips")
	}
	z, err := zip.NewReader(bytes.NewReader(zips[0]), int64(len(zips[0])))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range z.File {
		got = append(got, fmt.Sprint(f.Mode(), " ", f.Name))
	}
	want := []string{"-rw-r--r-- THIRD-PARTY-NOTICES.txt", "-rw-r--r-- enable/function.json", "-rwxr-xr-x handlers", "-rw-r--r-- host.json", "-rw-r--r-- sweep/function.json"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
}
