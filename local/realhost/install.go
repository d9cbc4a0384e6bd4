package realhost

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Version is the host's, as it tells it to the handler.
const Version = "4.1045.200.25556"

// archive is a package of the npm registry with the SHA-512 of its archive, as the registry publishes it.
type archive struct{ spec, sum string }

var (
	coreTools = archive{"@gaaguiar/azure-functions-core-tools@4.12.0", "NEJjQX7W/20ky6RsvcI3V5ry3RPaeFImtnTbCLIIU5W56RUcEIH3xK8nIXRnHyMTi7iDMm5OnxeeYh9E6nTedQ=="}
	program   = archive{"@azure/mcp-linux-x64@0.5.12", "cDeRpvnN9qXAXB2vRU2dtaho+me1XjRFy/H3nBZ+0w1J5e4O0aKYso1Qyycgcnj/9oN88AY4Hhok9qGcArnVYg=="}
)

// Dir is the folder of the installed host, in the user's cache.
func Dir() (string, error) {
	cache, err := os.UserCacheDir() // XDG_CACHE_HOME, else .cache in the home folder
	return filepath.Join(cache, "portcullis", "functions-host-"+Version), err
}

// Installed reports whether the host is there.
func Installed() bool {
	dir, err := Dir()
	if err == nil {
		_, err = os.Stat(dir)
	}
	return err == nil
}

// Install puts the host into [Dir], unless it is there: 180 MB are fetched, once. It can be interrupted
// and begun again: what was fetched stays until the end, and the folder appears when it is whole.
// Two that run at once wait for each other.
func Install(ctx context.Context, progress io.Writer) error {
	dir, err := Dir()
	if err != nil || Installed() {
		return err
	}
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return fmt.Errorf("the packages of the host are for Linux on x86-64, not for %s on %s", runtime.GOOS, runtime.GOARCH)
	}
	if _, err := exec.LookPath("npm"); err != nil {
		return errors.New("npm is not installed, which fetches the packages of the host")
	}
	work := dir + ".partial"
	if err := os.MkdirAll(work, 0o755); err != nil {
		return err
	}
	lock, err := os.Create(dir + ".lock")
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	if Installed() {
		return nil
	}
	began := time.Now()
	fmt.Fprintf(progress, "putting the Functions host into %s; this is done once\n", dir)
	root := filepath.Join(work, "root")
	if err := os.RemoveAll(root); err != nil {
		return err
	}
	tools, err := fetch(ctx, coreTools, filepath.Join(work, "core-tools.tgz"))
	if err != nil {
		return err
	}
	if err := unpack(tools, "package/bin/linux-x64/", filepath.Join(root, "host")); err != nil {
		return err
	}
	app, err := fetch(ctx, program, filepath.Join(work, "program.tgz"))
	if err != nil {
		return err
	}
	if err := unpack(app, "package/dist/", filepath.Join(work, "root", "program")); err != nil {
		return err
	}
	if err := arrange(root); err != nil {
		return err
	}
	if err := os.Rename(root, dir); err != nil {
		return err
	}
	fmt.Fprintf(progress, "the Functions host %s is there, after %v\n", Version, time.Since(began).Round(time.Second))
	return os.RemoveAll(work)
}

// fetch returns an archive whose contents are the pinned ones, from an earlier try or from the registry.
func fetch(ctx context.Context, a archive, file string) ([]byte, error) {
	if got, err := os.ReadFile(file); err == nil && a.check(got) == nil {
		return got, nil
	}
	into, err := os.MkdirTemp(filepath.Dir(file), "fetch")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(into)
	npm := exec.CommandContext(ctx, "npm", "pack", "--silent", "--ignore-scripts", "--pack-destination", into, a.spec)
	if out, err := npm.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("npm pack %s: %w\n%s", a.spec, err, out)
	}
	found, err := filepath.Glob(filepath.Join(into, "*.tgz"))
	if err != nil || len(found) != 1 {
		return nil, fmt.Errorf("npm pack %s left %d archives", a.spec, len(found))
	}
	got, err := os.ReadFile(found[0])
	if err != nil {
		return nil, err
	}
	if err := a.check(got); err != nil {
		return nil, err
	}
	return got, os.Rename(found[0], file)
}

func (a archive) check(contents []byte) error {
	sum := sha512.Sum512(contents)
	if got := base64.StdEncoding.EncodeToString(sum[:]); got != a.sum {
		return fmt.Errorf("%s is not the pinned archive: its SHA-512 is %s", a.spec, got)
	}
	return nil
}

// unpack writes the regular files below prefix of a tar archive to a folder.
func unpack(archive []byte, prefix, to string) error {
	unzipped, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		return err
	}
	files := tar.NewReader(unzipped)
	for {
		head, err := files.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		name, ok := strings.CutPrefix(head.Name, prefix)
		if !ok || head.Typeflag != tar.TypeReg {
			continue
		}
		if !filepath.IsLocal(name) {
			return fmt.Errorf("the archive holds a file at %s", head.Name)
		}
		path := filepath.Join(to, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := write(path, files, head.FileInfo().Mode().Perm()|0o600); err != nil {
			return err
		}
	}
}

func write(path string, from io.Reader, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	return errors.Join(err, f.Close())
}
