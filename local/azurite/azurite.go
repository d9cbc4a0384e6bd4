// Package azurite starts Azurite, Microsoft's Azure Storage emulator, for
// tests and for the real Functions host on one machine: its table or its blob endpoint, in memory,
// on a free port of 127.0.0.1, one process per call of [Run], or of [Start], which ends it with the test.
//
// It is the second opinion on the table stand-in and the table adapter: what
// both servers agree on was not made up here. It is not an oracle for what the
// service refuses. Azurite 3.37.0 accepts a transaction over two partitions,
// property names such as "a-b", over 252 properties, entities over 1 MiB and
// numbers beyond Int32; it breaks the connection on 101 operations; and it
// throttles nothing.
//
// The version is pinned by package.json and package-lock.json beside this
// file. Start runs "npm ci" there when node_modules is missing or was made
// from another lock file, with the package's install scripts off; processes
// that do so at the same time wait for each other. Node.js 20 or newer and npm
// must be installed: without them the test fails, it is not skipped.
package azurite

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"portcullis/local/child"
)

// Account and Key are the development account's well-known credentials, the
// same for every installation
// (https://learn.microsoft.com/azure/storage/common/storage-use-azurite).
const (
	Account = "devstoreaccount1"
	Key     = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)

const (
	installTimeout = 8 * time.Minute
	startTimeout   = 3 * time.Minute
	startAttempts  = 3
)

// Service is one of Azurite's endpoints.
type Service string

// The services that are used here.
const (
	Table Service = "table"
	Blob  Service = "blob"
)

// Start runs Azurite's table service until the test ends and returns its URL,
// http://127.0.0.1:port/devstoreaccount1. It fails the test if
// Azurite cannot be installed or does not answer within a minute.
func Start(t testing.TB) (url string) {
	t.Helper()
	url, stop, err := Run(Table, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return url
}

// Run runs one service of Azurite in a folder until stop is called, and returns its URL.
func Run(service Service, work string) (url string, stop func(), err error) {
	dir, err := install()
	if err != nil {
		return "", nil, fmt.Errorf("azurite: %w", err)
	}
	// The free port may be taken by another process before Azurite has it.
	for range startAttempts {
		if url, stop, err = start(service, dir, work); err == nil {
			return url, stop, nil
		}
	}
	return "", nil, fmt.Errorf("azurite: %w", err)
}

// Storage is the connection string of a storage account whose blobs are at url and that has nothing else, as
// the Functions host needs it for its timers.
func Storage(url string) string {
	return "DefaultEndpointsProtocol=http;AccountName=" + Account + ";AccountKey=" + Key + ";BlobEndpoint=" + url + ";"
}

// install makes node_modules match the lock file and returns the folder.
func install() (string, error) {
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			return "", fmt.Errorf("%s is not installed; this test needs Node.js 20 or newer with npm, as CONTRIBUTING.md says", tool)
		}
	}
	dir, err := source()
	if err != nil {
		return "", err
	}
	lock, err := os.ReadFile(filepath.Join(dir, "package-lock.json"))
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(lock)
	want := hex.EncodeToString(sum[:])

	folder, err := os.Open(dir)
	if err != nil {
		return "", err
	}
	defer folder.Close()
	if err := syscall.Flock(int(folder.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("lock %s: %w", dir, err)
	}
	mark := filepath.Join(dir, "node_modules", ".installed-from")
	if have, err := os.ReadFile(mark); err == nil && string(have) == want {
		return dir, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), installTimeout)
	defer cancel()
	npm := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	npm.Dir = dir
	if out, err := npm.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm ci in %s: %w\n%s", dir, err, out)
	}
	return dir, os.WriteFile(mark, []byte(want), 0o600)
}

// source finds this package's folder from that of the test that runs.
func source() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if b, err := os.ReadFile(filepath.Join(dir, "go.mod")); err == nil && strings.HasPrefix(string(b), "module portcullis\n") {
			return filepath.Join(dir, "local", "azurite"), nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("not inside the portcullis module")
		}
		dir = parent
	}
}

func start(service Service, dir, work string) (url string, stop func(), err error) {
	free, err := child.FreePort()
	if err != nil {
		return "", nil, err
	}
	port := strconv.Itoa(free)
	var out bytes.Buffer
	node := exec.Command("node", filepath.Join(dir, "node_modules", "azurite", "dist", "src", string(service), "main.js"),
		"--"+string(service)+"Port", port, "--"+string(service)+"Host", "127.0.0.1", "--silent", "--skipApiVersionCheck",
		"--disableTelemetry", "--inMemoryPersistence")
	node.Dir = work
	node.Stdout, node.Stderr = &out, &out
	release, err := child.Start(node)
	if err != nil {
		return "", nil, err
	}
	exited := make(chan struct{})
	go func() {
		_ = node.Wait() // it is killed below; its exit status says nothing
		release()
		close(exited)
	}()
	stop = func() {
		_ = node.Process.Kill() // an error means that it has ended
		<-exited
	}
	if err := await("127.0.0.1:"+port, exited); err != nil {
		stop()
		return "", nil, fmt.Errorf("%w\n%s", err, out.Bytes())
	}
	return "http://127.0.0.1:" + port + "/" + Account, stop, nil
}

// await returns when something listens at address.
func await(address string, exited <-chan struct{}) error {
	deadline := time.NewTimer(startTimeout)
	defer deadline.Stop()
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-exited:
			return errors.New("the process ended before it listened")
		case <-deadline.C:
			return fmt.Errorf("nothing listens at %s after %v", address, startTimeout)
		case <-tick.C:
			conn, err := net.DialTimeout("tcp", address, time.Second)
			if err == nil {
				return conn.Close()
			}
		}
	}
}
