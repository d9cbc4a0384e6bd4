package telemetry_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"portcullis/infra/telemetry"
)

// guarded is a buffer that a timer's goroutine writes.
type guarded struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements io.Writer.
func (g *guarded) Write(b []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.buf.Write(b)
}

// taken gives what was written since it was last asked.
func (g *guarded) taken() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	text := g.buf.String()
	g.buf.Reset()
	return text
}

// TestStrangersLinesAreBounded: 100,000 refused calls and as many answered ones write 240 lines and the one that counts the rest, which no line of
// anything else is kept from.
func TestStrangersLinesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out guarded
		log := slog.New(telemetry.Bounded(slog.NewJSONHandler(&out, nil)))
		count := func() map[string]int {
			synctest.Wait()
			n := map[string]int{}
			for _, line := range decoded(t, out.taken()) {
				n[line["msg"].(string)]++
			}
			return n
		}
		const calls = 50_000
		of := log.With("of", "one process")
		for range calls {
			log.Info("caller refused", "error", "no token")
			of.Info("request", "method", "POST", "path", "/api/disable", "status", 403)
			log.Info("request", "method", "GET", "path", "/api/health", "status", 200)
			log.Info("request", "method", "GET", "path", "/api/health", "status", 304)
		}
		for range 500 { // these are worth every line
			log.Info("request", "method", "POST", "path", "/api/request", "status", 201)
			log.Info("request", "method", "GET", "path", "/api/machines", "status", 503)
			log.Info("chain head", "entries", 1)
			log.Info("sweep")
			log.Warn("finding")
			log.Warn("caller refused")
			log.Error("panic")
		}
		got := count()
		if got["caller refused"]-500+got["request"]-1000 != 240 || got["chain head"] != 500 || got["sweep"] != 500 || got["finding"] != 500 || got["panic"] != 500 {
			t.Errorf("%v", got)
		}
		time.Sleep(30 * time.Second)
		synctest.Wait()
		told := decoded(t, out.taken())
		if want := []map[string]any{{"level": "WARN", "msg": "calls left out of the log", "refused": 2.0*calls - 120, "answered": 2.0*calls - 120}}; cmp.Diff(want, told) != "" {
			t.Errorf("(-want +got):\n%s", cmp.Diff(want, told))
		}
		time.Sleep(30 * time.Second)
		if got := count(); len(got) > 0 {
			t.Errorf("nothing was left out since, and it says %v", got)
		}
		for range calls {
			log.Info("request", "method", "GET", "status", 404)
		}
		if got := count(); got["request"] != 30 { // a minute's worth
			t.Errorf("after a minute %v", got)
		}
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		out.taken()
		for range calls {
			log.Info("request", "method", "GET", "status", 404)
		}
		if got := count(); got["request"] != 120 {
			t.Errorf("after a day %v", got)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		out.taken()
		log.Info("request", "method", "GET", "path", strings.Repeat("/a", 4000), "status", 404)
		if n := len(out.taken()); n > 700 {
			t.Errorf("a long path makes a line of %d bytes", n)
		}
	})
}
