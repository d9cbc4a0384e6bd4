package tablesim_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
)

// TestNumberForms checks the forms of numbers that aztables cannot send, since
// it reads and writes entities through float64.
func TestNumberForms(t *testing.T) {
	sim, _ := open(t)
	send(sim, "POST", "/Tables", `{"TableName":"things"}`, nil)
	for i, test := range []struct{ sent, want string }{
		{`"v":2.0`, `"v":2.0`},
		{`"v":1e300`, `"v":1e+300`},
		{`"v":-0.25`, `"v":-0.25`},
		{`"v@odata.type":"Edm.Double","v":3`, `"v":3.0`},
		{`"v@odata.type":"Edm.Double","v":"NaN"`, `"v@odata.type":"Edm.Double","v":"NaN"`},
		{`"v@odata.type":"Edm.Double","v":"Infinity"`, `"v@odata.type":"Edm.Double","v":"Infinity"`},
		{`"v@odata.type":"Edm.Double","v":"-Infinity"`, `"v@odata.type":"Edm.Double","v":"-Infinity"`},
		{`"v":2147483647`, `"v":2147483647`},
		{`"v@odata.type":"Edm.Int64","v":"-9223372036854775808"`, `"v@odata.type":"Edm.Int64","v":"-9223372036854775808"`},
		{`"v@odata.type":"Edm.DateTime","v":"2026-03-01T14:30:15.1234567+02:00"`, `"v":"2026-03-01T12:30:15.1234567Z"`},
		{`"v@odata.type":"Edm.DateTime","v":"1601-01-01T00:00:00Z"`, `"v":"1601-01-01T00:00:00Z"`},
		{`"v@odata.type":"Edm.Guid","v":"0D391D16-97F1-4B9A-BE68-4CC871F90001"`, `"v":"0d391d16-97f1-4b9a-be68-4cc871f90001"`},
	} {
		t.Run(test.sent, func(t *testing.T) {
			body := fmt.Sprintf(`{"PartitionKey":"p","RowKey":"%d",%s}`, i, test.sent)
			if w := send(sim, "POST", "/things", body, nil); w.Code != 201 {
				t.Fatal(w.Code, w.Body)
			}
			w := send(sim, "GET", fmt.Sprintf("/things(PartitionKey='p',RowKey='%d')", i), "", nil)
			if !strings.Contains(w.Body.String(), test.want) {
				t.Errorf("got %s, want %s in it", w.Body, test.want)
			}
		})
	}
	for _, sent := range []string{`"v":"0x1p-2"`, `"v":"1e999"`, `"v":"inf"`, `"v":""`} {
		body := `{"PartitionKey":"p","RowKey":"refused","v@odata.type":"Edm.Double",` + sent + `}`
		if w := send(sim, "POST", "/things", body, nil); w.Code != 400 {
			t.Errorf("%s: status %d, want 400", sent, w.Code)
		}
	}
}

// TestMirroredOperators: a constant may stand on the left.
func TestMirroredOperators(t *testing.T) {
	sim, _ := open(t)
	send(sim, "POST", "/Tables", `{"TableName":"things"}`, nil)
	for i := range 3 {
		send(sim, "POST", "/things", fmt.Sprintf(`{"PartitionKey":"p","RowKey":"%d","n":%d}`, i, i), nil)
	}
	for _, test := range []struct{ filter, want string }{
		{"1 eq n", "1"}, {"1 ne n", "02"}, {"1 lt n", "2"}, {"1 le n", "12"}, {"1 gt n", "0"}, {"1 ge n", "01"},
		{"'1' lt RowKey", "2"}, {"'1' ge RowKey", "01"},
	} {
		w := send(sim, "GET", "/things()?%24select=RowKey&%24filter="+url.QueryEscape(test.filter), "", map[string]string{"Accept": "application/json;odata=nometadata"})
		got := strings.NewReplacer(`{"RowKey":"`, "", `"}`, "", ",", "", `{"value":[`, "", `]}`, "").Replace(w.Body.String())
		if got != test.want {
			t.Errorf("%s: rows %q, want %q", test.filter, got, test.want)
		}
	}
}

// TestMergeIsHeldToTheLimits: two good halves may not make a bad whole.
func TestMergeIsHeldToTheLimits(t *testing.T) {
	sim, _ := open(t)
	send(sim, "POST", "/Tables", `{"TableName":"things"}`, nil)
	half := func(prefix string) string {
		var b strings.Builder
		b.WriteString("{")
		for i := range 127 {
			fmt.Fprintf(&b, `"%s%d":1,`, prefix, i)
		}
		return strings.TrimSuffix(b.String(), ",") + "}"
	}
	const target = "/things(PartitionKey='p',RowKey='r')"
	if w := send(sim, "PATCH", target, half("a"), nil); w.Code != 204 {
		t.Fatal(w.Code, w.Body)
	}
	w := send(sim, "PATCH", target, half("b"), nil)
	if w.Code != 400 || w.Header().Get("x-ms-error-code") != "TooManyProperties" {
		t.Errorf("got %d %s, want 400 TooManyProperties", w.Code, w.Body)
	}
	if w := send(sim, "GET", target, "", nil); strings.Contains(w.Body.String(), `"b0"`) {
		t.Error("the refused merge was stored")
	}
}

// TestQuietInserts: Prefer: return-no-content.
func TestQuietInserts(t *testing.T) {
	sim, _ := open(t)
	quiet := map[string]string{"Prefer": "return-no-content"}
	for _, test := range []struct{ target, body, location string }{
		{"/Tables", `{"TableName":"things"}`, "http://127.0.0.1/Tables('things')"},
		{"/things", `{"PartitionKey":"o'p","RowKey":"a b"}`, "http://127.0.0.1/things(PartitionKey='o%27%27p',RowKey='a%20b')"},
	} {
		w := send(sim, "POST", test.target, test.body, quiet)
		if w.Code != 204 || w.Body.Len() != 0 || w.Header().Get("Preference-Applied") != "return-no-content" || w.Header().Get("DataServiceId") != test.location {
			t.Errorf("POST %s: %d %v, want 204 at %s", test.target, w.Code, w.Header(), test.location)
		}
	}
}

// TestRequestsAreBounded keeps a long-running server small.
func TestRequestsAreBounded(t *testing.T) {
	sim, _ := open(t)
	for range 9000 {
		send(sim, "GET", "/a-b()", "", nil)
	}
	send(sim, "GET", "/Tables", "", nil)
	got := sim.Requests()
	if len(got) != 4096 || got[len(got)-1].Path != "/Tables" {
		t.Errorf("%d requests are kept, the last is %+v; want 4096 and the last one sent", len(got), got[len(got)-1])
	}
}
