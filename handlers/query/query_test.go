package query_test

import (
	"errors"
	"maps"
	"net/url"
	"strings"
	"testing"

	"portcullis/core/jit"
	"portcullis/handlers/query"
)

var table = []query.Parameter{{Name: "dryRun", Flag: true}, {Name: "status", Values: []string{"Initiated", "Revoked"}}, {Name: "q"}, {Name: "api-version"}}

func codeOf(err error) (jit.Code, string) {
	if refused, ok := errors.AsType[*jit.Error](err); ok {
		return refused.Code, refused.Target
	}
	return "", ""
}

func TestReadRefuses(t *testing.T) {
	for _, tc := range []struct {
		raw    string
		code   jit.Code
		target string
	}{
		{"dryRun", query.CodeInvalid, "dryRun"},
		{"dryRun=", query.CodeInvalid, "dryRun"},
		{"dryRun=yes", query.CodeInvalid, "dryRun"},
		{"dryRun=1", query.CodeInvalid, "dryRun"},
		{"dryRun=true%20", query.CodeInvalid, "dryRun"},
		{"dryRun=true&dryRun=true", query.CodeRepeated, "dryRun"},
		{"dryRun=true&dryRun=false", query.CodeRepeated, "dryRun"},
		{"dryRun=true&DRYRUN=true", query.CodeRepeated, "dryRun"},
		{"q=a&Q=", query.CodeRepeated, "q"},
		{"dry-run=true", query.CodeUnknown, "dry-run"},
		{"dry_run=true", query.CodeUnknown, "dry_run"},
		{"whatIf=true", query.CodeUnknown, "whatIf"},
		{"dryRun%20=true", query.CodeUnknown, "dryRun "},
		{"=true", query.CodeUnknown, ""},
		{"dryRun[]=true", query.CodeUnknown, "dryRun[]"},
		{"dryRun=true;x=y", query.CodeInvalid, "query"},
		{"dryRun=%zz", query.CodeInvalid, "query"},
		{"q=" + strings.Repeat("a", query.MaxValue+1), query.CodeInvalid, "q"},
		{strings.Repeat("a", 100) + "=1", query.CodeUnknown, strings.Repeat("a", 80) + "..."},
		{"status=initiated", query.CodeInvalid, "status"},
		{"status=Foo", query.CodeInvalid, "status"},
	} {
		got, err := query.Read(tc.raw, table)
		if code, target := codeOf(err); code != tc.code || target != tc.target || got != nil {
			t.Errorf("%s: %v, %s at %q, want %s at %q", tc.raw, got, code, target, tc.code, tc.target)
		}
	}
	if _, err := query.Read("status=Foo", table); !strings.Contains(err.Error(), "Initiated, Revoked") {
		t.Errorf("a wrong value does not name the right ones: %v", err)
	}
	if _, err := query.Read("x=1", table); !strings.Contains(err.Error(), "dryRun, status, q, api-version") {
		t.Errorf("a wrong name does not name the right ones: %v", err)
	}
	if _, err := query.Read("x=1", nil); !strings.Contains(err.Error(), "takes none") {
		t.Errorf("%v", err)
	}
}

func TestRead(t *testing.T) {
	for raw, want := range map[string]query.Values{
		"":                        {},
		"DryRun=true":             {"dryRun": "true"},
		"dryrun=TRUE":             {"dryRun": "true"},
		"DRYRUN=False":            {"dryRun": "false"},
		"status=Revoked&Q=a%20+b": {"status": "Revoked", "q": "a  b"},
		"status=&q":               {"status": "", "q": ""},
	} {
		got, err := query.Read(raw, table)
		if err != nil || !maps.Equal(got, want) {
			t.Errorf("%s: %v, %v, want %v", raw, got, err, want)
		}
	}
}

func TestTolerate(t *testing.T) {
	for raw, want := range map[string]jit.Code{
		"api-version=1&x=y&x=z":        "",
		"$filter=a&api-version=1":      "",
		"api-version=1&API-Version=1":  query.CodeRepeated,
		"api-version=1&api-version=2":  query.CodeRepeated,
		"api-version=1&dry-run=true":   query.CodeNoDryRun,
		"api-version=1&WhatIf":         query.CodeNoDryRun,
		"api-version=1&$what_if=false": query.CodeNoDryRun,
		"api-version=1&validateOnly=1": query.CodeNoDryRun,
		"api-version=1;dryRun=true":    query.CodeInvalid,
		"api-version=%":                query.CodeInvalid,
	} {
		if code, _ := codeOf(query.Tolerate(raw, table[3:])); code != want {
			t.Errorf("%s: %q, want %q", raw, code, want)
		}
	}
}

// FuzzRead holds that what is taken holds no more than the table, is the same when
// it is written and read again, and that no name that asks for a dry run is passed over.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{"dryRun=true", "DRYRUN=true&q=%00", "q=a;b", "&&=&", "status=Revoked&q=%e2%80%ae", "dryRun"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		got, err := query.Read(raw, table)
		if err != nil {
			if code, _ := codeOf(err); code == "" || got != nil {
				t.Errorf("%q: %v, %v", raw, got, err)
			}
			return
		}
		again := url.Values{}
		for name, value := range got {
			again.Set(name, value)
		}
		if back, err := query.Read(again.Encode(), table); err != nil || !maps.Equal(got, back) {
			t.Errorf("%q: %v is read again as %v, %v", raw, got, back, err)
		}
		sent, _ := url.ParseQuery(raw)
		for name := range sent {
			if strings.EqualFold(name, "dryRun") && got["dryRun"] != "true" && got["dryRun"] != "false" {
				t.Errorf("%q: the flag is passed over", raw)
			}
		}
	})
}
