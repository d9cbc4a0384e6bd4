package table_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"portcullis/core/jit"
	"portcullis/core/store"
	"portcullis/infra/table"
)

// entity is a row of the Activity table as its writer sees it.
type entity = map[string]any

// forger writes the Activity table without the store.
type forger struct {
	t *testing.T
	*aztables.Client
}

func (f forger) all(prefix string) []entity {
	f.t.Helper()
	var out []entity
	filter := fmt.Sprintf("RowKey ge '%s' and RowKey lt '%s~'", prefix, prefix)
	for pager := f.NewListEntitiesPager(&aztables.ListEntitiesOptions{Filter: &filter}); pager.More(); {
		page, err := pager.NextPage(f.t.Context())
		if err != nil {
			f.t.Fatal(err)
		}
		for _, text := range page.Entities {
			var e entity
			if err := json.Unmarshal(text, &e); err != nil {
				f.t.Fatal(err)
			}
			maps.DeleteFunc(e, func(name string, _ any) bool { return name == "Timestamp" || strings.Contains(name, "odata") })
			out = append(out, e)
		}
	}
	return out
}

// doc reads the document of a row.
func doc(e entity) entity {
	text := e["Doc"].(string)
	for i := 1; e[fmt.Sprint("Doc", i)] != nil; i++ {
		text += e[fmt.Sprint("Doc", i)].(string)
	}
	var d entity
	if json.Unmarshal([]byte(text), &d) != nil {
		return nil
	}
	return d
}

// chain gives the entries of the subscription's chain by their place, from 0.
func (f forger) chain(sub string) []entity {
	var out []entity
	for _, e := range f.all("e|") {
		if e["Subscription"] == sub {
			out = append(out, e)
		}
	}
	slices.SortFunc(out, func(a, b entity) int { return int(doc(a)["Seq"].(float64) - doc(b)["Seq"].(float64)) })
	return out
}

func (f forger) head(sub string) entity {
	for _, e := range f.all("head|") {
		if doc(e)["Subscription"] == sub {
			return e
		}
	}
	f.t.Fatalf("no head of %q", sub)
	return nil
}

func (f forger) put(e entity) {
	f.t.Helper()
	text, err := json.Marshal(e)
	if err == nil {
		_, err = f.UpsertEntity(f.t.Context(), text, &aztables.UpsertEntityOptions{UpdateMode: aztables.UpdateModeReplace})
	}
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f forger) remove(e entity) {
	f.t.Helper()
	any := azcore.ETagAny
	if _, err := f.DeleteEntity(f.t.Context(), e["PartitionKey"].(string), e["RowKey"].(string), &aztables.DeleteEntityOptions{IfMatch: &any}); err != nil {
		f.t.Fatal(err)
	}
}

// with gives a copy of the row whose document says something else, in the form of the app.
func with(e entity, from, to string) entity {
	e = maps.Clone(e)
	e["Doc"] = strings.Replace(e["Doc"].(string), from, to, 1)
	return e
}

// at gives the part of the document that says the place.
func at(seq int) string { return fmt.Sprintf(`"Seq":%d,`, seq) }

// told gives n entries of one machine, a second apart.
func told(n int) []store.Entry {
	var out []store.Entry
	for i := range n {
		out = append(out, store.Entry{ID: fmt.Sprintf("event %d", i+1), Time: day.Add(time.Duration(i) * time.Second), Operation: store.OpOpen, Result: store.Succeeded,
			VM: vm(1), Requestor: "Ann", Actor: annActor, Ports: []uint16{22}, Sources: []string{"203.0.113.7"}, End: day.Add(time.Hour), Justification: "a <reason>"})
	}
	return out
}

var annActor = jit.Actor{Tenant: "aaaaaaaa-0000-4000-8000-00000000000a", Object: "eeeeeeee-0000-4000-8000-000000000001", Kind: jit.Person,
	Client: "ffffffff-0000-4000-8000-00000000000f", SignIn: "pwd mfa", Address: netip.MustParseAddr("198.51.100.9")}

// logged gives a store whose log holds six entries of a machine and two sweeps.
func logged(t *testing.T) (*table.Store, forger) {
	s, _ := newStore(t)
	entries := told(6)
	sweeps := []store.Entry{{ID: "sweep 1", Time: day, Operation: store.OpSweep}, {ID: "sweep 2", Time: day.Add(time.Minute), Operation: store.OpSweep}}
	for _, call := range [][]store.Entry{entries[:2], sweeps[:1], entries[2:], sweeps[1:]} {
		if err := s.Append(t.Context(), call...); err != nil {
			t.Fatal(err)
		}
	}
	return s, forger{t, s.ActivityTable()}
}

func verify(t *testing.T, s *table.Store, sub string) store.VerifyResult {
	t.Helper()
	got, err := s.Verify(t.Context(), sub, day)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// TestForgeries: whatever is done to the rows without the store is found, at the
// first place where it shows, and the other chain stays whole.
func TestForgeries(t *testing.T) {
	rows := []struct {
		name  string
		forge func(f forger, c []entity)
		brk   store.Break
		seq   int
	}{
		{"the head is gone", func(f forger, c []entity) { f.remove(f.head(subscription)) }, store.BreakHeadMissing, 6},
		{"the head says less", func(f forger, c []entity) {
			f.put(with(with(f.head(subscription), at(6), at(5)), doc(c[5])["Hash"].(string), doc(c[4])["Hash"].(string)))
		}, store.BreakInserted, 6},
		{"the head says more", func(f forger, c []entity) { f.put(with(f.head(subscription), at(6), at(7))) }, store.BreakTruncated, 7},
		{"the head names another hash", func(f forger, c []entity) {
			f.put(with(f.head(subscription), doc(c[5])["Hash"].(string), doc(c[4])["Hash"].(string)))
		}, store.BreakChanged, 6},
		{"the head is of another chain", func(f forger, c []entity) {
			head := f.head("")
			head["RowKey"] = f.head(subscription)["RowKey"]
			f.put(head)
		}, store.BreakChanged, 6},
		{"the head cannot be read", func(f forger, c []entity) {
			head := f.head(subscription)
			head["Doc"] = "{"
			f.put(head)
		}, store.BreakChanged, 6},
		{"an entry says something else", func(f forger, c []entity) { f.put(with(c[2], "a \\u003creason", "another \\u003creason")) }, store.BreakChanged, 3},
		{"an entry says something else, with a hash that fits", func(f forger, c []entity) { f.put(with(rehashed(c, 2, "203.0.113.7", "203.0.113.8"), "", "")) }, store.BreakChanged, 4},
		{"the last entry says something else, with a hash that fits", func(f forger, c []entity) { f.put(rehashed(c, 5, "203.0.113.7", "203.0.113.8")) }, store.BreakChanged, 6},
		{"an entry holds a field more", func(f forger, c []entity) { f.put(with(c[3], `"V":1`, `"V":1,"W":1`)) }, store.BreakChanged, 4},
		{"an entry's name for filters is changed", func(f forger, c []entity) {
			c[1]["Requestor"] = "bob"
			f.put(c[1])
		}, store.BreakChanged, 2},
		{"an entry has a property more", func(f forger, c []entity) {
			c[1]["Doc1"] = ""
			f.put(c[1])
		}, store.BreakChanged, 2},
		{"an entry has no document", func(f forger, c []entity) {
			delete(c[4], "Doc")
			f.put(c[4])
		}, store.BreakRemoved, 5},
		{"the last entry has no document", func(f forger, c []entity) {
			delete(c[5], "Doc")
			f.put(c[5])
		}, store.BreakTruncated, 6},
		{"the first is gone", func(f forger, c []entity) { f.remove(c[0]) }, store.BreakRemoved, 1},
		{"one is gone", func(f forger, c []entity) { f.remove(c[3]) }, store.BreakRemoved, 4},
		{"two are gone", func(f forger, c []entity) { f.remove(c[4]); f.remove(c[1]) }, store.BreakRemoved, 2},
		{"the last is gone", func(f forger, c []entity) { f.remove(c[5]) }, store.BreakTruncated, 6},
		{"all are gone", func(f forger, c []entity) {
			for _, e := range c {
				f.remove(e)
			}
		}, store.BreakTruncated, 1},
		{"one is gone and the rest moved up", func(f forger, c []entity) {
			f.remove(c[2])
			for i := 3; i < 6; i++ {
				f.put(with(c[i], at(i+1), at(i)))
			}
		}, store.BreakChanged, 3},
		{"two have changed places", func(f forger, c []entity) {
			f.put(with(c[1], at(2), at(3)))
			f.put(with(c[2], at(3), at(2)))
		}, store.BreakReordered, 2},
		{"two have changed rows", func(f forger, c []entity) {
			c[1]["RowKey"], c[2]["RowKey"] = c[2]["RowKey"], c[1]["RowKey"]
			f.put(c[1])
			f.put(c[2])
		}, store.BreakReordered, 2},
		{"one stands on another day", func(f forger, c []entity) {
			f.remove(c[2])
			c[2]["PartitionKey"] = table.Day(day.Add(24 * time.Hour))
			f.put(c[2])
		}, store.BreakRemoved, 3},
		{"one was put between", func(f forger, c []entity) { f.put(inserted(c, 3, "forged", 3)) }, store.BreakInserted, 3},
		{"one was put between with a hash that fits", func(f forger, c []entity) { f.put(rehash(c, inserted(c, 3, "forged", 3), 3)) }, store.BreakInserted, 3},
		{"one was put at the end with a hash that fits", func(f forger, c []entity) { f.put(rehash(c, inserted(c, 5, "forged", 7), 7)) }, store.BreakInserted, 7},
		{"one was put in place of the last with a hash that fits", func(f forger, c []entity) { f.put(rehash(c, inserted(c, 5, "forged", 6), 6)) }, store.BreakInserted, 6},
		{"one was put without a place", func(f forger, c []entity) {
			f.put(with(with(inserted(c, 3, "forged", 4), at(4), ""), `"Format":1,`, ""))
		}, store.BreakInserted, 0},
		{"one of another machine is listed here", func(f forger, c []entity) {
			f.put(with(inserted(c, 3, "forged", 1), subscription, "22222222-2222-2222-2222-222222222222"))
		}, store.BreakInserted, 0},
		{"a mark keeps an event from being logged", func(f forger, c []entity) {
			mark := f.all("id|")[0]
			mark["RowKey"] = "id|" + strings.Repeat("0", 32)
			mark["Doc"] = `{"V":1,"ID":"to come","Subscription":"` + subscription + `"}`
			f.put(mark)
		}, store.BreakInserted, 0},
		{"a mark keeps an event from being logged, beside a row that is nobody's", func(f forger, c []entity) {
			mark := f.all("id|")[0]
			mark["RowKey"] = "id|" + strings.Repeat("0", 32)
			mark["Doc"] = `{"V":1,"ID":"to come","Subscription":"` + subscription + `"}`
			f.put(mark)
			beside := maps.Clone(c[0])
			beside["RowKey"] = c[0]["RowKey"].(string)[:len("e|")+20] + strings.Repeat("0", 32)
			beside["Subscription"], beside["Doc"] = "22222222-2222-2222-2222-222222222222", "{"
			f.put(beside)
		}, store.BreakInserted, 0},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			s, f := logged(t)
			if got := verify(t, s, subscription); got.FirstBroken != nil || got.Entries != 6 {
				t.Fatalf("before: %+v", got)
			}
			row.forge(f, f.chain(subscription))
			got := verify(t, s, subscription)
			if got.FirstBroken == nil {
				t.Fatalf("nothing is found: %+v", got)
			}
			if got.FirstBroken.Break != row.brk || got.FirstBroken.Seq != row.seq {
				t.Errorf("%s at %d (%s), want %s at %d", got.FirstBroken.Break, got.FirstBroken.Seq, got.FirstBroken.Message, row.brk, row.seq)
			}
			if other := verify(t, s, ""); other.FirstBroken != nil || other.Entries != 2 {
				t.Errorf("the other chain: %+v, %+v", other, other.FirstBroken)
			}
		})
	}
}

// inserted gives entry i under another name, at a place.
func inserted(c []entity, i int, id string, seq int) entity {
	e := with(with(c[i], at(i+1), at(seq)), doc(c[i])["ID"].(string), id)
	time, _, _ := strings.Cut(strings.TrimPrefix(e["RowKey"].(string), "e|"), "|")
	e["RowKey"] = "e|" + time + "|" + sha(id)[:32]
	return e
}

// rehash gives a row the hash that it must have to stand at the place.
func rehash(c []entity, e entity, seq int) entity {
	before := genesis(subscription, "2026-03-02")
	if seq > 1 {
		before = unhex(doc(c[seq-2])["Hash"].(string))
	}
	return with(e, doc(e)["Hash"].(string), fmt.Sprintf("%x", auditorsHash(before, doc(e))))
}

// rehashed gives entry i saying something else, with the hash that fits.
func rehashed(c []entity, i int, from, to string) entity { return rehash(c, with(c[i], from, to), i+1) }

// shelf answers as the service with rows of one day, by key, as they are listed: thousands of checks go without a server.
type shelf map[string][]byte

func (s shelf) Do(r *http.Request) (*http.Response, error) {
	answer := func(status int, body string) (*http.Response, error) {
		return &http.Response{StatusCode: status, Status: http.StatusText(status), Header: http.Header{"Content-Type": {"application/json"}, "Etag": {"1"}}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
	}
	if _, key, one := strings.Cut(r.URL.Path, "RowKey='"); one {
		if row, ok := s[strings.TrimSuffix(key, "')")]; ok {
			return answer(http.StatusOK, string(row))
		}
		return answer(http.StatusNotFound, `{"odata.error":{"code":"ResourceNotFound"}}`)
	}
	_, prefix, _ := strings.Cut(r.URL.Query().Get("$filter"), "RowKey ge '")
	prefix, _, _ = strings.Cut(prefix, "'")
	var found []string
	for _, key := range slices.Sorted(maps.Keys(s)) {
		if prefix != "" && strings.HasPrefix(key, prefix) {
			found = append(found, string(s[key]))
		}
	}
	return answer(http.StatusOK, `{"value":[`+strings.Join(found, ",")+`]}`)
}

// TestEveryByte flips each byte of everything that is stored of an entry in the middle, of the
// last one and of the head, in what the service gives of it; one byte of each property is
// flipped in the service itself, where Verify finds it too.
func TestEveryByte(t *testing.T) {
	s, f := logged(t)
	c := f.chain(subscription)
	rows := map[string][]byte{} // by key, as they are listed
	for pager := f.NewListEntitiesPager(nil); pager.More(); {
		page, err := pager.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, data := range page.Entities {
			var e entity
			if err := json.Unmarshal(data, &e); err != nil {
				t.Fatal(err)
			}
			rows[e["RowKey"].(string)] = data
		}
	}
	// broken tells whether the rows are found to be broken, with one in another's place.
	broken := func(e entity) bool {
		t.Helper()
		all := maps.Clone(rows)
		if e != nil {
			data, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			all[e["RowKey"].(string)] = data
		}
		s, err := table.New("https://account.example", token{}, table.Options{ClientOptions: azcore.ClientOptions{Transport: shelf(all)}})
		if err != nil {
			t.Fatal(err)
		}
		got := verify(t, s, subscription)
		if got.Entries != 6 && e == nil {
			t.Fatalf("%+v", got)
		}
		return got.FirstBroken != nil
	}
	if broken(nil) {
		t.Fatal("what nobody has changed is broken")
	}
	flips := 0
	for what, e := range map[string]entity{"entry 3": c[2], "entry 6": c[5], "head": f.head(subscription)} {
		for name, value := range e {
			text, ok := value.(string)
			if !ok {
				t.Fatalf("%s: the property %s is no text", what, name)
			}
			if name == "PartitionKey" || name == "RowKey" {
				continue // then it is another row: TestForgeries
			}
			if broken(e) {
				t.Fatalf("%s as it is put back is broken", what)
			}
			for i := range len(text) {
				changed := maps.Clone(e)
				changed[name] = text[:i] + string(text[i]^1) + text[i+1:]
				found := broken(changed)
				if i == len(text)/2 {
					f.put(changed)
					found = found && verify(t, s, subscription).FirstBroken != nil
				}
				if !found {
					t.Errorf("%s, %s, byte %d: %q for %q is not found", what, name, i, changed[name].(string)[i], text[i])
				}
				flips++
			}
		}
		f.put(e)
	}
	if got := verify(t, s, subscription); got.FirstBroken != nil || flips < 500 {
		t.Errorf("after %d flips, all put back: %+v", flips, got.FirstBroken)
	}
}

// TestForgeriesAtRandom: removals, moves and changes together, with hashes that fit where
// the forger likes, are found, and not before the first of them.
func TestForgeriesAtRandom(t *testing.T) {
	s, f := logged(t)
	whole := f.chain(subscription)
	touched := map[int]bool{}
	rapid.Check(t, func(rt *rapid.T) {
		for i := range touched {
			f.put(whole[i])
		}
		touched = map[int]bool{}
		if got := verify(t, s, subscription); got.FirstBroken != nil {
			rt.Fatalf("put back: %+v", got.FirstBroken)
		}
		first := len(whole) + 1
		for range rapid.IntRange(1, 3).Draw(rt, "forgeries") {
			i := rapid.IntRange(0, len(whole)-1).Draw(rt, "at")
			first, touched[i] = min(first, i+1), true
			switch rapid.IntRange(0, 3).Draw(rt, "kind") {
			case 0:
				if standing := f.chain(subscription); slices.ContainsFunc(standing, func(e entity) bool { return e["RowKey"] == whole[i]["RowKey"] }) {
					f.remove(whole[i])
				}
			case 1:
				f.put(with(whole[i], "203.0.113.7", fmt.Sprintf("203.0.113.%d", rapid.IntRange(8, 90).Draw(rt, "source"))))
			case 2:
				f.put(rehashed(whole, i, "203.0.113.7", fmt.Sprintf("203.0.113.%d", rapid.IntRange(8, 90).Draw(rt, "source"))))
			case 3:
				j := rapid.IntRange(1, 9).Filter(func(j int) bool { return j != i+1 }).Draw(rt, "place")
				f.put(with(whole[i], at(i+1), at(j)))
				first = min(first, j)
			}
		}
		got := verify(t, s, subscription)
		if got.FirstBroken == nil || got.FirstBroken.Seq < first {
			rt.Fatalf("forged from %d on: %+v", first, got.FirstBroken)
		}
	})
}

// TestEveryField changes each field that an entry has, one at a time, in rows that are in all else as the app
// writes them: columns fit, the key fits, the hash is the one that was there. The hash alone can tell.
func TestEveryField(t *testing.T) {
	whole := told(6)
	whole[2].Target, whole[2].Grant, whole[2].Reason, whole[2].Message, whole[2].Correlation = vm(2), "g", "r", "m", "c"
	for _, name := range fields(reflect.TypeFor[store.Entry]()) {
		if name == "Since" {
			continue // it is not kept: it says where an earlier telling is looked for, and gives the time
		}
		t.Run(name, func(t *testing.T) {
			s, _ := newStore(t)
			f := forger{t, s.ActivityTable()}
			elsewhere, _ := newStore(t)
			other := slices.Clone(whole)
			other[2] = differing(t, whole[2], name)
			if err := errors.Join(s.Append(t.Context(), whole...), elsewhere.Append(t.Context(), other...)); err != nil {
				t.Fatal(err)
			}
			if got := verify(t, s, subscription); got.FirstBroken != nil || got.Entries != 6 {
				t.Fatalf("before: %+v", got)
			}
			was, forged := f.chain(subscription)[2], forger{t, elsewhere.ActivityTable()}.chain(subscription)[2]
			if was["Doc"] == strings.Replace(forged["Doc"].(string), doc(forged)["Hash"].(string), doc(was)["Hash"].(string), 1) {
				t.Fatal("the field is not stored")
			}
			f.remove(was)
			f.put(with(forged, doc(forged)["Hash"].(string), doc(was)["Hash"].(string)))
			got := verify(t, s, subscription)
			if got.FirstBroken == nil || got.FirstBroken.Seq != 3 || got.FirstBroken.Break != store.BreakChanged {
				t.Errorf("%+v, %+v", got, got.FirstBroken)
			}
		})
	}
}

// fields names the fields of an entry, with those inside of its actor.
func fields(of reflect.Type) []string {
	var out []string
	for f := range of.Fields() {
		if f.Type == reflect.TypeFor[jit.Actor]() {
			for _, inner := range fields(f.Type) {
				out = append(out, f.Name+"."+inner)
			}
			continue
		}
		out = append(out, f.Name)
	}
	return out
}

// differing gives the entry with another value in one field.
func differing(t *testing.T, e store.Entry, name string) store.Entry {
	t.Helper()
	e.Ports, e.Sources = slices.Clone(e.Ports), slices.Clone(e.Sources)
	v := reflect.ValueOf(&e).Elem()
	for part := range strings.SplitSeq(name, ".") {
		v = v.FieldByName(part)
	}
	switch at := v.Addr().Interface().(type) {
	case *time.Time:
		*at = at.Add(time.Millisecond)
	case *jit.ID:
		at.Name += "x"
	case *[]uint16:
		*at = append(*at, 23)
	case *[]string:
		*at = append(*at, "203.0.113.8")
	case *netip.Addr:
		*at = at.Next()
	default:
		if v.Kind() != reflect.String {
			t.Fatalf("do not know how to change a %s", v.Type())
		}
		v.SetString(v.String() + "x")
	}
	return e
}

// TestOtherDay: a chain cannot be shown for that of another day or subscription.
func TestOtherDay(t *testing.T) {
	s, f := logged(t)
	for _, e := range append(f.chain(subscription), f.head(subscription)) {
		e["PartitionKey"] = table.Day(day.Add(24 * time.Hour))
		f.put(e)
	}
	got, err := s.Verify(t.Context(), subscription, day.Add(24*time.Hour))
	if err != nil || got.FirstBroken == nil || got.FirstBroken.Seq != 1 {
		t.Errorf("%+v, %+v, %v", got, got.FirstBroken, err)
	}
	if diff := cmp.Diff(store.VerifyResult{}, must(s.Verify(t.Context(), subscription, day.Add(48*time.Hour)))); diff != "" {
		t.Errorf("a day without entries (-want +got):\n%s", diff)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic("the test store failed: " + err.Error())
	}
	return v
}
