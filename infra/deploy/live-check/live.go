package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
)

const apiVersion = "2025-05-01"

// row is one line of the table. Without want it is for information.
type row struct{ fact, want, got string }

type live struct {
	client              *arm.Client
	cred                azcore.TokenCredential
	in                  cloud.Configuration
	subscription, scope string // ids of the subscription and of the resource group
	id, location        string // of the security group
	run                 string // marks the resource group as this run's
	made                bool   // the resource group, by us: ours to write in and to delete
	locked              []string
	opened              bool // the machine's port, perhaps
	door                door
	dial                func(ctx context.Context, address string) (net.Conn, error)
	watch               time.Duration // how long a live connection is looked at
	now                 func() time.Time
	sleep               func(ctx context.Context, d time.Duration) error
	progress            io.Writer // what a person has to do meanwhile
	rows                []row
}

const purpose = "portcullis live-check"

func (l *live) note(fact, want, got string) { l.rows = append(l.rows, row{fact, want, got}) }

// skip notes what could not be asked, and why.
func (l *live) skip(fact, why string) { l.note(fact, "", "skipped: "+why) }

// verdict sums a row up in a word or two.
func (r row) verdict() string {
	switch {
	case strings.HasPrefix(r.got, "skipped: "):
		return "skipped"
	case strings.HasPrefix(r.got, "unclear: "):
		return "unclear"
	case r.want == "":
		return "for information"
	case r.want != r.got:
		return "DIFFERENT"
	}
	return "as taken"
}

// answer is what ARM said.
type answer struct {
	status int
	header http.Header
	code   string
	doc    map[string]any
}

func (a answer) String() string { return strings.TrimSpace(strconv.Itoa(a.status) + " " + a.code) }

// text gives a value of the document, by keys.
func (a answer) text(keys ...string) string {
	var v any = a.doc
	for _, k := range keys {
		m, _ := v.(map[string]any)
		v = m[k]
	}
	s, _ := v.(string)
	return s
}

// call sends one request and reads the answer, whatever its status. What is not a read goes to the resource group that
// was made here and to what lies in it, or nowhere.
func (l *live) call(ctx context.Context, method, path string, header http.Header, body any) (answer, error) {
	if method != http.MethodGet && !l.within(path) {
		return answer{}, fmt.Errorf("%s %s: it is not in the resource group that was made here; nothing was sent", method, path)
	}
	endpoint := l.client.Endpoint() + path
	if strings.HasPrefix(path, "https://") || strings.HasPrefix(path, "http://") {
		// The address of a list's next page comes from ARM; the token goes to ARM alone.
		u, err := url.Parse(path)
		own, _ := url.Parse(l.client.Endpoint())
		if err != nil || own == nil || u.Scheme != own.Scheme || strings.TrimSuffix(u.Host, ":443") != own.Host {
			return answer{}, fmt.Errorf("the address %q is not Resource Manager's", path)
		}
		endpoint = path
	} else if !strings.Contains(path, "?") {
		endpoint += "?api-version=" + apiVersion
	}
	req, err := runtime.NewRequest(ctx, method, endpoint)
	if err != nil {
		return answer{}, err
	}
	maps.Copy(req.Raw().Header, header)
	if body != nil {
		if err := runtime.MarshalAsJSON(req, body); err != nil {
			return answer{}, err
		}
	}
	res, err := l.client.Pipeline().Do(req)
	if err != nil {
		return answer{}, fmt.Errorf("%s %s: %w", method, path, err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(res.Body, 8<<20))
	if err != nil {
		return answer{}, err
	}
	out := answer{status: res.StatusCode, header: res.Header}
	if len(bytes.TrimSpace(raw)) > 0 {
		if err := json.Unmarshal(raw, &out.doc); err != nil {
			return answer{}, fmt.Errorf("%s %s: read the answer: %w", method, path, err)
		}
	}
	out.code = out.text("error", "code")
	return out, nil
}

// settle waits until no write is under way, two minutes at most, and gives the security group.
func (l *live) settle(ctx context.Context) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		a, err := l.call(ctx, http.MethodGet, l.id, nil, nil)
		if err != nil || a.status == http.StatusNotFound {
			return a, err
		}
		if state := a.text("properties", "provisioningState"); a.status == http.StatusOK && state != "Updating" && state != "Deleting" {
			return a, nil
		}
		select {
		case <-ctx.Done():
			return a, ctx.Err()
		case <-time.After(500 * time.Millisecond):
		}
	}
}

func rule(name string, priority int, prefix string) map[string]any {
	return map[string]any{"name": name, "properties": map[string]any{
		"priority": priority, "direction": "Inbound", "access": "Deny", "protocol": "Tcp",
		"sourceAddressPrefix": prefix, "sourcePortRange": "*", "destinationAddressPrefix": "10.0.0.4", "destinationPortRange": "22",
	}}
}

// group is the body of a write: the rules, and what changes of the properties.
func (l *live) group(change map[string]any, rules ...map[string]any) map[string]any {
	properties := map[string]any{"securityRules": append([]map[string]any{}, rules...)}
	maps.Copy(properties, change)
	return map[string]any{"location": l.location, "tags": map[string]any{"purpose": purpose}, "properties": properties}
}

func match(etag string) http.Header { return http.Header{"If-Match": {etag}} }

func (l *live) create(ctx context.Context) error {
	if err := l.makeGroup(ctx); err != nil {
		return err
	}
	a, err := l.call(ctx, http.MethodPut, l.id, nil, l.group(nil))
	if err != nil {
		return err
	}
	if a.status >= 300 {
		return fmt.Errorf("create %s: %s %s", l.id, a, a.text("error", "message"))
	}
	l.note("PUT that creates", "201", a.String())
	l.note("  it is a long operation", "true", strconv.FormatBool(a.header.Get("Azure-AsyncOperation") != ""))
	l.note("  Retry-After", "", a.header.Get("Retry-After"))
	_, err = l.settle(ctx)
	return err
}

func (l *live) delete(ctx context.Context) error {
	var a answer
	err := l.until(ctx, lockSpread, func() (done bool, err error) {
		a, err = l.call(ctx, http.MethodDelete, l.id, nil, nil)
		// A lock that was taken off holds on for a while, and so may a write.
		return err == nil && (a.status < 300 || a.status == http.StatusNotFound), err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", a, err)
	}
	_, err = l.settle(ctx)
	return err
}

func (l *live) staleMatch(ctx context.Context) error {
	a, err := l.call(ctx, http.MethodPut, l.id, match(`W/"00000000-0000-0000-0000-000000000000"`), l.group(nil))
	l.note("PUT with a stale If-Match", "412 PreconditionFailed", a.String())
	return err
}

func (l *live) currentMatch(ctx context.Context) error {
	now, err := l.settle(ctx)
	if err != nil {
		return err
	}
	a, err := l.call(ctx, http.MethodPut, l.id, match(now.text("etag")), l.group(nil, rule("a", 200, "203.0.113.7")))
	if err != nil {
		return err
	}
	l.note("PUT with the current If-Match", "200", a.String())
	l.note("  state in its answer (not in use)", "Succeeded", a.text("properties", "provisioningState"))
	after, err := l.settle(ctx)
	l.note("  etag of the answer still holds at the end", "", strconv.FormatBool(a.text("etag") == after.text("etag")))
	return err
}

func (l *live) matchWithoutGroup(ctx context.Context) error {
	other := *l
	other.id += "-none"
	a, err := other.call(ctx, http.MethodPut, other.id, match(`W/"00000000-0000-0000-0000-000000000000"`), l.group(nil))
	if err != nil {
		return err
	}
	l.note("If-Match for a group that is gone creates none", "true", strconv.FormatBool(a.status == http.StatusNotFound || a.status == http.StatusPreconditionFailed))
	l.note("  its answer", "", a.String())
	if a.status < 300 {
		return other.delete(ctx)
	}
	return nil
}

func (l *live) staleRuleMatch(ctx context.Context) error {
	if _, err := l.settle(ctx); err != nil {
		return err
	}
	a, err := l.call(ctx, http.MethodPut, l.id+"/securityRules/a", match(`W/"00000000-0000-0000-0000-000000000000"`), rule("a", 200, "203.0.113.8"))
	l.note("PUT of one rule with a stale If-Match", "", a.String())
	return err
}

func (l *live) bodyEtag(ctx context.Context) error {
	if _, err := l.settle(ctx); err != nil {
		return err
	}
	body := l.group(nil, rule("a", 200, "203.0.113.7"))
	body["etag"] = `W/"00000000-0000-0000-0000-000000000000"`
	a, err := l.call(ctx, http.MethodPut, l.id, nil, body)
	l.note("a stale etag in the body is ignored", "200", a.String())
	return err
}

func (l *live) flush(ctx context.Context) error {
	if _, err := l.settle(ctx); err != nil {
		return err
	}
	a, err := l.call(ctx, http.MethodPut, l.id, nil, l.group(map[string]any{"flushConnection": true}, rule("a", 200, "203.0.113.7")))
	if err != nil {
		return err
	}
	l.note("flushConnection: true is answered", "", a.String())
	now, err := l.settle(ctx)
	properties, _ := now.doc["properties"].(map[string]any)
	l.note("  and is kept", "", fmt.Sprint(properties["flushConnection"]))
	return err
}

// untouched writes back what was read, as Portcullis does with all that is not its own.
func (l *live) untouched(ctx context.Context) error {
	before, err := l.settle(ctx)
	if err != nil {
		return err
	}
	a, err := l.call(ctx, http.MethodPut, l.id, match(before.text("etag")), before.doc)
	if err != nil {
		return err
	}
	l.note("PUT of what GET showed", "200", a.String())
	after, err := l.settle(ctx)
	l.note("  changes nothing but etags", "true", strconv.FormatBool(reflect.DeepEqual(bare(before.doc), bare(after.doc))))
	return err
}

// bare leaves out what changes with every write.
func bare(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, item := range v {
			if k != "etag" && k != "provisioningState" {
				out[k] = bare(item)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = bare(v[i])
		}
		return out
	}
	return v
}

func (l *live) spelling(ctx context.Context) error {
	if _, err := l.settle(ctx); err != nil {
		return err
	}
	odd := rule("odd", 300, "203.0.113.7/24")
	odd["properties"].(map[string]any)["protocol"] = "TCP"
	a, err := l.call(ctx, http.MethodPut, l.id, nil, l.group(nil, odd))
	if err != nil {
		return err
	}
	l.note("bits below a prefix's mask, TCP in capitals", "", a.String())
	now, err := l.settle(ctx)
	if err != nil {
		return err
	}
	got, _ := json.Marshal(now.doc["properties"].(map[string]any)["securityRules"])
	l.note("  a GET shows the prefix as sent", "", strconv.FormatBool(strings.Contains(string(got), "203.0.113.7/24")))
	return nil
}

func (l *live) concurrent(ctx context.Context) error {
	if _, err := l.settle(ctx); err != nil {
		return err
	}
	const writers = 4
	answers, errs := make([]string, writers), make([]error, writers)
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			a, err := l.call(ctx, http.MethodPut, l.id, nil, l.group(nil, rule("a", 200+i, "203.0.113.7")))
			answers[i], errs[i] = a.String(), err
		})
	}
	wg.Wait()
	slices.Sort(answers)
	l.note("four writes at once are answered", "", strings.Join(answers, ", "))
	return errors.Join(errs...)
}

func (l *live) latency(ctx context.Context) error {
	var took []time.Duration
	var last answer
	for i := range 5 {
		if _, err := l.settle(ctx); err != nil {
			return err
		}
		began := time.Now()
		a, err := l.call(ctx, http.MethodPut, l.id, nil, l.group(nil, rule("a", 400+i, "203.0.113.7")))
		if err != nil {
			return err
		}
		if _, err := l.settle(ctx); err != nil {
			return err
		}
		took, last = append(took, time.Since(began).Round(time.Millisecond)), a
	}
	slices.Sort(took)
	l.note("a write until Succeeded: least, median, most", "", fmt.Sprint(took[0], " ", took[len(took)/2], " ", took[len(took)-1]))
	for _, name := range slices.Sorted(maps.Keys(last.header)) {
		if strings.HasPrefix(strings.ToLower(name), "x-ms-ratelimit-remaining") {
			l.note("  "+strings.ToLower(name), "", last.header.Get(name))
		}
	}
	return nil
}
