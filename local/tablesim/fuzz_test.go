package tablesim_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"portcullis/local/tablesim"
)

// FuzzFilter: any text is answered 200 or 400, and a filter that is taken is
// taken again inside parentheses, with the same result.
func FuzzFilter(f *testing.F) {
	for _, seed := range []string{
		"", "PartitionKey eq 'p' and RowKey ge '0' and RowKey lt '5'", "n eq 1 or not (n lt 2L and half ge 1.5e3)",
		"when gt datetime'2026-01-01T00:00:00Z'", "id eq guid'00000000-0000-0000-0000-000000000004'", "b eq X'00ff'",
		"s eq 'it''s'", "flag", "not flag", "1 lt n", "n eq -1", "((((n eq 1))))", "'", "(", "not", "datetime''", "a\x00b eq 1", "\xff eq '\xff'",
		"PartitionKey gt '\x01' or RowKey le ''",
	} {
		f.Add(seed)
	}
	sim, _ := serve(f, tablesim.Config{})
	for _, r := range []struct{ target, body string }{
		{"/Tables", `{"TableName":"things"}`},
		{"/things", `{"PartitionKey":"p","RowKey":"1","n":1,"s":"it's","flag":true}`},
		{"/things", `{"PartitionKey":"p","RowKey":"","half":0.5}`},
	} {
		if w := send(sim, "POST", r.target, r.body, nil); w.Code != 201 {
			f.Fatal(w.Code, w.Body)
		}
	}
	f.Fuzz(func(t *testing.T, filter string) {
		plain := send(sim, "GET", "/things()?%24filter="+url.QueryEscape(filter), "", nil)
		if plain.Code != 200 && plain.Code != 400 {
			t.Fatalf("status %d: %s", plain.Code, plain.Body)
		}
		if plain.Code == 400 && plain.Header().Get("x-ms-error-code") != "InvalidInput" {
			t.Fatalf("refused with %s", plain.Body)
		}
		if plain.Code == 400 || strings.Trim(filter, " \t") == "" || strings.Count(filter, "(") > 50 || strings.Count(filter, "not") > 40 {
			return
		}
		wrapped := send(sim, "GET", "/things()?%24filter="+url.QueryEscape("("+filter+")"), "", nil)
		if wrapped.Code != 200 || wrapped.Body.String() != plain.Body.String() {
			t.Fatalf("in parentheses: %d %s\nplain: %s", wrapped.Code, wrapped.Body, plain.Body)
		}
	})
}

// FuzzRequest: no request is answered 500, whatever its path and body.
func FuzzRequest(f *testing.F) {
	part := "--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n" +
		"POST http://127.0.0.1/things HTTP/1.1\r\nAccept: application/json\r\n\r\n{\"PartitionKey\":\"p\",\"RowKey\":\"x\"}\r\n--c--\r\n--b--\r\n"
	for _, seed := range [][4]string{
		{"POST", "/$batch", part, ""},
		{"POST", "/things", `{"PartitionKey":"p","RowKey":"r","v@odata.type":"Edm.Int64","v":"1"}`, ""},
		{"PUT", "/things(PartitionKey='p',RowKey='r')", `{"d@odata.type":"Edm.DateTime","d":"2026-01-01T00:00:00Z"}`, ""},
		{"MERGE", "/things(PartitionKey='p',RowKey='r')", `{"n":null,"f":1e3}`, "*"},
		{"DELETE", "/things(PartitionKey='p',RowKey='r')", "", `W/"x"`},
		{"GET", "/Tables('things')", "", ""}, {"DELETE", "/Tables('things')", "", ""}, {"POST", "/Tables", `{"TableName":"things"}`, ""},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3])
	}
	sim, _ := serve(f, tablesim.Config{})
	f.Fuzz(func(t *testing.T, method, path, body, ifMatch string) {
		send(sim, "POST", "/Tables", `{"TableName":"things"}`, nil)
		if !slices.Contains([]string{"GET", "POST", "PUT", "PATCH", "MERGE", "DELETE"}, method) {
			method = "POST"
		}
		header := map[string]string{"If-Match": ifMatch}
		if path == "/$batch" {
			header["Content-Type"] = "multipart/mixed; boundary=b"
		}
		w := send(sim, method, path, body, header)
		if w.Code >= 500 && w.Code != 501 {
			t.Fatalf("%s %q: %d %s", method, path, w.Code, w.Body)
		}
	})
}

// expression is a filter with its meaning spelled out a second time.
type expression struct {
	text  string
	holds func(pk, rk string, n int) bool
}

func drawExpression(t *rapid.T, depth int) expression {
	operators := []string{"eq", "ne", "gt", "ge", "lt", "le"}
	choice := rapid.IntRange(0, 5).Draw(t, "choice")
	if depth == 0 {
		choice %= 3
	}
	operator := rapid.SampledFrom(operators).Draw(t, "operator")
	compared := func(order int) bool {
		return map[string]bool{"eq": order == 0, "ne": order != 0, "gt": order > 0, "ge": order >= 0, "lt": order < 0, "le": order <= 0}[operator]
	}
	switch choice {
	case 0:
		key := drawKey(t)
		return expression{"PartitionKey " + operator + " '" + key + "'", func(pk, _ string, _ int) bool { return compared(strings.Compare(pk, key)) }}
	case 1:
		key := drawKey(t)
		return expression{"RowKey " + operator + " '" + key + "'", func(_, rk string, _ int) bool { return compared(strings.Compare(rk, key)) }}
	case 2:
		n := rapid.IntRange(0, 3).Draw(t, "n")
		return expression{fmt.Sprint("n ", operator, " ", n), func(_, _ string, m int) bool { return compared(m - n) }}
	case 3:
		e := drawExpression(t, depth-1)
		return expression{"not (" + e.text + ")", func(pk, rk string, n int) bool { return !e.holds(pk, rk, n) }}
	}
	l, r := drawExpression(t, depth-1), drawExpression(t, depth-1)
	if choice == 4 {
		return expression{"(" + l.text + ") and (" + r.text + ")", func(pk, rk string, n int) bool { return l.holds(pk, rk, n) && r.holds(pk, rk, n) }}
	}
	return expression{"(" + l.text + ") or (" + r.text + ")", func(pk, rk string, n int) bool { return l.holds(pk, rk, n) || r.holds(pk, rk, n) }}
}

func drawKey(t *rapid.T) string {
	return rapid.StringOfN(rapid.SampledFrom([]rune("ab")), 0, 2, -1).Draw(t, "key")
}

// TestFilterAgainstBruteForce checks that neither the parser nor the narrowed
// key range changes what a filter means: every expression over a small world
// matches exactly the rows that its definition picks, page after page.
func TestFilterAgainstBruteForce(t *testing.T) {
	sim, _ := serve(t, tablesim.Config{})
	send(sim, "POST", "/Tables", `{"TableName":"things"}`, nil)
	type stored struct {
		pk, rk string
		n      int
	}
	var world []stored
	keys := []string{"", "a", "aa", "ab", "b", "ba", "bb"} // in ordinal order
	for i, pk := range keys {
		for j, rk := range keys {
			world = append(world, stored{pk, rk, (i + j) % 4})
			body := fmt.Sprintf(`{"PartitionKey":%q,"RowKey":%q,"n":%d}`, pk, rk, (i+j)%4)
			if w := send(sim, "POST", "/things", body, nil); w.Code != 201 {
				t.Fatal(w.Code, w.Body)
			}
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		e := drawExpression(t, 3)
		sim.SetMaxPage(rapid.SampledFrom([]int{0, 1, 7}).Draw(t, "page"))
		want := []string{}
		for _, r := range world {
			if e.holds(r.pk, r.rk, r.n) {
				want = append(want, r.pk+"/"+r.rk)
			}
		}
		got := []string{}
		target := "/things()?%24filter=" + url.QueryEscape(e.text)
		next := ""
		for n := 0; ; n++ {
			w := send(sim, "GET", target+next, "", nil)
			if w.Code != 200 || n > len(world) {
				t.Fatalf("page %d of %s: %d %s", n, e.text, w.Code, w.Body)
			}
			var page struct {
				Value []struct{ PartitionKey, RowKey string }
			}
			if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil {
				t.Fatal(err)
			}
			for _, r := range page.Value {
				got = append(got, r.PartitionKey+"/"+r.RowKey)
			}
			pk, rk := w.Header().Get("x-ms-continuation-NextPartitionKey"), w.Header().Get("x-ms-continuation-NextRowKey")
			if pk == "" {
				break
			}
			next = "&NextPartitionKey=" + url.QueryEscape(pk) + "&NextRowKey=" + url.QueryEscape(rk)
		}
		if !slices.Equal(want, got) {
			t.Fatalf("%s\nwant %q\ngot  %q", e.text, want, got)
		}
	})
}
