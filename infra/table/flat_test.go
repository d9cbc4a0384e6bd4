package table_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"portcullis/infra/table"
)

// library answers as the service with a chain of many entries that it makes up as they are asked for, a page at a time, newest first.
type library struct {
	t       *testing.T
	n       int
	pattern entity // an entry's row
	head    entity
	hashes  [][32]byte
	pages   int
	peak    uint64 // bytes of the heap that live, while pages are asked for
}

var verified = flag.Int("entries", 5000, "how many entries TestVerifyIsFlat looks through")

const libraryPage = 1000

// row gives the entry at a place, from 1.
func (l *library) row(seq int) entity {
	id := fmt.Sprintf("event %d", seq)
	at := day.Add(time.Duration(seq) * 200 * time.Millisecond)
	stamp := at.UTC().Format(time.RFC3339Nano)
	e := maps.Clone(l.pattern)
	was := doc(e)
	text := e["Doc"].(string)
	text = strings.Replace(text, `"ID":"event 1"`, `"ID":"`+id+`"`, 1)
	text = strings.Replace(text, `"Time":"`+was["Time"].(string)+`"`, `"Time":"`+stamp+`"`, 1)
	text = strings.Replace(text, `"Seq":1,`, fmt.Sprintf(`"Seq":%d,`, seq), 1)
	text = strings.Replace(text, was["Hash"].(string), fmt.Sprintf("%x", l.hashes[seq]), 1)
	e["Doc"] = text
	e["Time"] = at.UTC().Format("2006-01-02T15:04:05.000000000Z")
	e["RowKey"] = fmt.Sprintf("e|%019d|%s", math.MaxInt64-at.UnixNano(), sha(id)[:32])
	return e
}

// fill computes the chain.
func (l *library) fill() {
	l.hashes = make([][32]byte, l.n+1)
	copy(l.hashes[0][:], genesis(subscription, "2026-03-02"))
	for seq := 1; seq <= l.n; seq++ {
		copy(l.hashes[seq][:], auditorsHash(l.hashes[seq-1][:], doc(l.row(seq))))
	}
	was := doc(l.head)
	text := strings.Replace(l.head["Doc"].(string), `"Seq":1,`, fmt.Sprintf(`"Seq":%d,`, l.n), 1)
	l.head["Doc"] = strings.Replace(text, was["Hash"].(string), fmt.Sprintf("%x", l.hashes[l.n]), 1)
}

func (l *library) Do(r *http.Request) (*http.Response, error) {
	answer := func(body any, h http.Header) (*http.Response, error) {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		h.Set("Content-Type", "application/json")
		h.Set("Etag", "1")
		return &http.Response{StatusCode: http.StatusOK, Status: "OK", Header: h, Body: io.NopCloser(strings.NewReader(string(text))), Request: r}, nil
	}
	if strings.Contains(r.URL.Path, "RowKey='") {
		return answer(l.head, http.Header{})
	}
	if l.pages++; l.pages%2 == 0 {
		l.peak = max(l.peak, live())
	}
	from, err := strconv.Atoi(r.URL.Query().Get("NextRowKey"))
	if err != nil {
		from = l.n
	}
	marks := strings.Contains(r.URL.Query().Get("$filter"), "'id|'")
	var page []entity
	for seq := from; seq > max(from-libraryPage, 0); seq-- {
		if marks {
			id := fmt.Sprintf("event %d", seq)
			page = append(page, entity{"PartitionKey": l.pattern["PartitionKey"], "RowKey": "id|" + sha(id)[:32], "Doc": `{"V":1,"ID":"` + id + `","Subscription":"` + subscription + `"}`})
			continue
		}
		page = append(page, l.row(seq))
	}
	h := http.Header{}
	if from > libraryPage {
		h.Set("x-ms-continuation-NextPartitionKey", "p")
		h.Set("x-ms-continuation-NextRowKey", strconv.Itoa(from-libraryPage))
	}
	return answer(map[string]any{"value": page}, h)
}

// live gives how many bytes of the heap are in use.
func live() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestVerifyIsFlat: what a look through a chain holds is a few bytes an entry, and finds one byte that was changed all the same.
func TestVerifyIsFlat(t *testing.T) {
	n := *verified
	if raceDetector {
		n = 2000
	}
	first, _ := newStore(t)
	if err := first.Append(t.Context(), told(1)...); err != nil {
		t.Fatal(err)
	}
	f := forger{t, first.ActivityTable()}
	l := &library{t: t, n: n, pattern: f.chain(subscription)[0], head: f.head(subscription)}
	l.fill()
	s := must(table.New("https://account.example", token{}, table.Options{ClientOptions: azcore.ClientOptions{Transport: l}}))
	idle := live()
	began := time.Now()
	got := verify(t, s, subscription)
	t.Logf("%d entries: %.1f MiB above idle at most, %d pages, %v", n, float64(l.peak-min(l.peak, idle))/(1<<20), l.pages, time.Since(began).Round(time.Second))
	if got.FirstBroken != nil || got.Entries != n || got.Head != fmt.Sprintf("%x", l.hashes[n]) {
		t.Errorf("%+v, %+v", got, got.FirstBroken)
	}
	if most := min(64<<20, 12<<20+300*uint64(n)); l.peak > idle+most {
		t.Errorf("%d bytes above idle, want at most %d", l.peak-idle, most)
	}
	if pages := 3 * (n / libraryPage); l.pages != pages { // marks, entries, entries once more
		t.Errorf("%d pages were read, want %d", l.pages, pages)
	}
}

// TestBreaksInLongChains: breaks are found where more entries stand than are kept, each at its place.
func TestBreaksInLongChains(t *testing.T) {
	s, _ := newStore(t)
	if err := s.Append(t.Context(), told(1050)...); err != nil {
		t.Fatal(err)
	}
	f := forger{t, s.ActivityTable()}
	c := f.chain(subscription)
	if got := verify(t, s, subscription); got.FirstBroken != nil || got.Entries != 1050 {
		t.Fatalf("before: %+v, %+v", got, got.FirstBroken)
	}
	for _, tc := range []struct {
		name  string
		forge func()
		brk   string
		seq   int
	}{
		{"changed", func() { f.put(with(c[700], "203.0.113.7", "203.0.113.8")) }, "Changed", 701},
		{"changed, with a hash that fits", func() { f.put(rehashed(c, 700, "203.0.113.7", "203.0.113.8")) }, "Changed", 702},
		{"removed", func() { f.remove(c[700]) }, "Removed", 701},
		{"removed at the end", func() { f.remove(c[1049]) }, "Truncated", 1050},
		{"moved", func() { f.put(with(c[700], at(701), at(900))); f.put(with(c[899], at(900), at(701))) }, "Reordered", 701},
	} {
		tc.forge()
		got := verify(t, s, subscription)
		if got.FirstBroken == nil || string(got.FirstBroken.Break) != tc.brk || got.FirstBroken.Seq != tc.seq {
			t.Errorf("%s: %+v", tc.name, got.FirstBroken)
		}
		for _, i := range []int{700, 899, 1049} {
			f.put(c[i])
		}
	}
	if got := verify(t, s, subscription); got.FirstBroken != nil {
		t.Errorf("put back: %+v", got.FirstBroken)
	}
}
