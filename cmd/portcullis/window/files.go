package window

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"github.com/google/uuid"

	"portcullis/cmd/portcullis/exit"
)

// often is how often a lock that another process holds is tried.
const often = 50 * time.Millisecond

// files are those of one port of one machine, for one person at one app.
type files struct {
	turn  *flock.Flock // whoever opens or closes holds it
	users *flock.Flock // shared by all who use the window
	about string       // holds the id of the request that this program made
}

func (k Keeper) files(want Want) (*files, error) {
	if err := os.MkdirAll(k.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of locks: %w", err)
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{k.App.App(), k.Who, strings.ToLower(want.Machine.ID), fmt.Sprint(want.Port)}, "\n")))
	base := filepath.Join(k.Dir, hex.EncodeToString(sum[:16]))
	return &files{turn: flock.New(base + ".turn"), users: flock.New(base + ".users"), about: base + ".request"}, nil
}

// lock waits for the turn to open or close, and calls tell once where it has to wait.
func (f *files) lock(ctx context.Context, tell func()) (waited bool, err error) {
	got, err := f.turn.TryLock()
	if err == nil && !got {
		waited = true
		tell()
		_, err = f.turn.TryLockContext(ctx, often)
	}
	if err != nil {
		return waited, locking(ctx, err)
	}
	return waited, nil
}

// locking says what is wrong with a lock.
func locking(ctx context.Context, err error) error {
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return exit.With(exit.Interrupted, errors.New("interrupted"))
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return exit.With(exit.TimedOut, errors.New("another portcullis has been opening or closing the same port all the time"))
	}
	return fmt.Errorf("lock the window: %w", err)
}

func (f *files) unlock() { _ = f.turn.Unlock() } // the system does it at the end of the process at the latest

// hold marks the window as used by this process.
func (f *files) hold(ctx context.Context) error {
	if _, err := f.users.TryRLockContext(ctx, often); err != nil {
		return locking(ctx, err)
	}
	return nil
}

func (f *files) letGo() { _ = f.users.Unlock() } // as unlock

// alone reports whether no process uses the window. The caller holds the turn and does not use it itself.
func (f *files) alone() (bool, error) {
	got, err := f.users.TryLock()
	if got {
		err = f.users.Unlock()
	}
	return got, err
}

// noted gives the id of the request that this program made, and "" where there is none.
func (f *files) noted() string {
	text, err := os.ReadFile(f.about)
	if err != nil {
		return ""
	}
	id, err := uuid.ParseBytes(text)
	if err != nil {
		return ""
	}
	return id.String()
}

func (f *files) note(id string) error { return os.WriteFile(f.about, []byte(id), 0o600) }

func (f *files) forget() error {
	if err := os.Remove(f.about); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
