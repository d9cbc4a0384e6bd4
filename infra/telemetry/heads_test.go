package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portcullis/core/coretest"
	"portcullis/core/store"
	"portcullis/infra/telemetry"
)

// ends is a log of which only the ends are known, by day. It counts who asks.
type ends struct {
	of    map[string][]store.ChainHead
	more  bool
	err   error
	asked []string
}

// Heads implements store.Heads.
func (e *ends) Heads(_ context.Context, day time.Time) ([]store.ChainHead, bool, error) {
	e.asked = append(e.asked, day.Format(time.DateOnly))
	return e.of[day.Format(time.DateOnly)], e.more, e.err
}

func head(sub string, entries int, hash string) store.ChainHead {
	return store.ChainHead{Subscription: sub, Head: store.Head{Entries: entries, Hash: hash}}
}

// TestHeadsAreStated holds which heads a sweep states: those of today and yesterday that are not what was stated last, and what is gone.
// A sweep costs two looks, however many chains there are.
func TestHeadsAreStated(t *testing.T) {
	var out bytes.Buffer
	now := time.Date(2026, 7, 1, 23, 57, 0, 0, time.UTC)
	tel, err := telemetry.Start(t.Context(), telemetry.Config{Log: slog.New(slog.NewJSONHandler(&out, nil)), Now: func() time.Time { return now }, Invocation: func(context.Context) string { return "i" }})
	if err != nil {
		t.Fatal(err)
	}
	log := &ends{of: map[string][]store.ChainHead{"2026-07-01": {head("", 3, "c"), head("s1", 7, "a")}}}
	sweeps := tel.Sweeps(coretest.NewMemory(), log)
	steps := []struct {
		name   string
		before func()
		want   []string
	}{
		{"the first states all", func() {}, []string{"2026-07-01 none 3 c", "2026-07-01 s1 7 a"}},
		{"what is the same is not stated again", func() {}, nil},
		{"one more entry", func() { log.of["2026-07-01"][1] = head("s1", 8, "b") }, []string{"2026-07-01 s1 8 b"}},
		{"the same number of entries with another hash", func() { log.of["2026-07-01"][1] = head("s1", 8, "x") }, []string{"2026-07-01 s1 8 x"}},
		{"fewer entries", func() { log.of["2026-07-01"][1] = head("s1", 6, "y") }, []string{"2026-07-01 s1 6 y"}},
		{"after midnight yesterday's last entry, and today's", func() {
			now = now.Add(5 * time.Minute)
			log.of["2026-07-01"][0] = head("", 4, "d")
			log.of["2026-07-02"] = []store.ChainHead{head("s1", 1, "e")}
		}, []string{"2026-07-01 none 4 d", "2026-07-02 s1 1 e"}},
		{"a chain that is gone", func() { log.of["2026-07-02"] = nil }, []string{"2026-07-02 s1 0 "}},
		{"and stays gone", func() {}, nil},
		{"while the table does not answer nothing is known to be gone", func() { log.err = errors.New("down") }, []string{"ERROR 2026-07-01 down", "ERROR 2026-07-02 down"}},
		{"and is not stated again after it", func() { log.err = nil }, nil},
		{"what has rested for more than ten minutes is stated once more, so that the query of rewinds counts it", func() { now = now.Add(11 * time.Minute) },
			[]string{"2026-07-01 none 4 d", "2026-07-01 s1 6 y", "2026-07-02 s1 0 "}},
		{"and not a third time", func() { now = now.Add(time.Hour) }, nil},
		{"more than are looked at", func() { log.more = true }, []string{"ERROR 2026-07-01 ", "ERROR 2026-07-02 "}},
		{"a day later the old day is nobody's any more", func() { log.more, now = false, now.Add(24*time.Hour) }, nil},
	}
	for _, step := range steps {
		step.before()
		out.Reset()
		log.asked = nil
		if err := sweeps.PutSweep(t.Context(), store.SweepRecord{Started: now, Ended: now}); err != nil {
			t.Fatalf("%s: %v: a sweep is none the worse for it", step.name, err)
		}
		if diff := cmp.Diff([]string{now.AddDate(0, 0, -1).Format(time.DateOnly), now.Format(time.DateOnly)}, log.asked); diff != "" {
			t.Errorf("%s: days asked for (-want +got):\n%s", step.name, diff)
		}
		var got []string
		for _, line := range decoded(t, out.String()) {
			switch {
			case line["msg"] == "chain head":
				got = append(got, fmt.Sprint(line["day"], " ", line["subscription"], " ", line["entries"], " ", line["head"]))
			case line["level"] == "ERROR":
				text, _ := line["error"].(string)
				got = append(got, fmt.Sprint("ERROR ", line["day"], " ", text))
			}
			if line["invocation"] != "i" {
				t.Errorf("%s: %v is of no invocation", step.name, line)
			}
		}
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.name, diff)
		}
	}
	out.Reset()
	log.asked = nil
	if err := sweeps.PutSweep(t.Context(), store.SweepRecord{Started: now}); err != nil || len(log.asked) > 0 || out.Len() > 0 {
		t.Errorf("a sweep that runs still asks for %v and says %s, %v", log.asked, out.String(), err)
	}
}

func decoded(t *testing.T, text string) []map[string]any {
	t.Helper()
	var lines []map[string]any
	for line := range strings.Lines(text) {
		var doc map[string]any
		if err := json.Unmarshal([]byte(line), &doc); err != nil {
			t.Fatal(err)
		}
		delete(doc, "time")
		lines = append(lines, doc)
	}
	return lines
}
