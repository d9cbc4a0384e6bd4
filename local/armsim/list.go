package armsim

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const defaultPage = 1000

// list answers a page of what the path names, in the order of the ids. A page starts after the last id of the one before,
// so that what is added or removed in between neither repeats nor hides other items.
func (s *Server) list(c *call) (answer, *Error) {
	if c.at.group != "" {
		id := "/subscriptions/" + c.at.sub + "/resourceGroups/" + c.at.group
		if s.resources[key(id)] == nil {
			return answer{}, groupNotFound(c.at.group)
		}
	}
	if c.at.kind == children {
		return s.listChildren(c)
	}
	wanted, err := s.wanted(c)
	if err != nil {
		return answer{}, err
	}
	var found []string
	for _, k := range slices.Sorted(maps.Keys(s.resources)) {
		if wanted(k, s.resources[k]) {
			found = append(found, k)
		}
	}
	return s.page(c, found, func(k string) any {
		r := s.resources[k]
		if c.at.kind == genericList {
			return generic(r)
		}
		return s.listed(k, r)
	})
}

// shown is an NSG as a list shows it, and what that is made of.
type shown struct {
	etag, state string
	text        json.RawMessage
}

// listed renders a resource for a list. Lists of thousands of NSGs are asked for every few seconds, and few of
// these change in between.
func (s *Server) listed(k string, r *resource) any {
	if r.Type != nsgType {
		return s.render(r, r.Doc)
	}
	had, ok := s.shown[k]
	if ok && had.etag == r.ETag && had.state == r.State && s.refs != nil {
		return had.text
	}
	doc := s.render(r, r.Doc)
	text, err := json.Marshal(doc)
	if err != nil {
		return doc // and write says why
	}
	s.shown[k] = shown{r.ETag, r.State, text}
	return json.RawMessage(text)
}

// wanted returns the test for the resources that the list holds.
func (s *Server) wanted(c *call) (func(k string, r *resource) bool, *Error) {
	within := key("/subscriptions/"+c.at.sub) + "/"
	if c.at.group != "" {
		within += "resourcegroups/" + strings.ToLower(c.at.group) + "/"
	}
	switch c.at.kind {
	case groups:
		return func(k string, r *resource) bool { return r.Type == groupType && strings.HasPrefix(k, within) }, nil
	case locks:
		// Those at the scope and below it, as ARM lists them; the ones above it are not shown (unverified).
		scope := key(c.at.scope) + "/"
		return func(k string, r *resource) bool { return r.Type == lockType && strings.HasPrefix(k, scope) }, nil
	case genericList:
		typ, err := filterType(c.r.URL.Query().Get("$filter"))
		return func(k string, r *resource) bool {
			plain := r.Type != groupType && !strings.HasPrefix(r.Type, "Microsoft.Authorization/")
			return plain && strings.HasPrefix(k, within) && (typ == "" || strings.EqualFold(typ, r.Type))
		}, err
	}
	return func(k string, r *resource) bool { return r.Type == c.at.typ.name && strings.HasPrefix(k, within) }, nil
}

var typeFilter = regexp.MustCompile(`(?i)^\s*resourceType\s+eq\s+'([^']+)'\s*$`)

func filterType(filter string) (string, *Error) {
	if filter == "" {
		return "", nil
	}
	m := typeFilter.FindStringSubmatch(filter)
	if m == nil {
		return "", newError(http.StatusBadRequest, "InvalidFilterInQueryString", "Invalid $filter '%s' specified in the query string. This stand-in knows only resourceType eq '...'.", filter)
	}
	return m[1], nil
}

// generic is the short form in which a subscription's resources are listed.
func generic(r *resource) map[string]any {
	out := map[string]any{"id": r.ID, "name": lastSegment(r.ID), "type": r.Type, "location": r.location()}
	if tags, ok := r.Doc["tags"]; ok {
		out["tags"] = cloneAny(tags)
	}
	return out
}

func (s *Server) listChildren(c *call) (answer, *Error) {
	parent, err := s.find(c.at)
	if err != nil {
		return answer{}, err
	}
	byName := map[string]any{}
	var names []string
	for _, item := range items(s.render(parent, parent.Doc), c.at.typ.children) {
		name, _ := item["name"].(string)
		names = append(names, strings.ToLower(name))
		byName[strings.ToLower(name)] = item
	}
	slices.Sort(names)
	return s.page(c, names, func(name string) any { return byName[name] })
}

func (s *Server) page(c *call, keys []string, show func(string) any) (answer, *Error) {
	query := c.r.URL.Query()
	if token := query.Get("$skipToken"); token != "" {
		after, err := base64.RawURLEncoding.DecodeString(token)
		if err != nil {
			return answer{}, newError(http.StatusBadRequest, "InvalidSkipToken", "The skip token '%s' is invalid.", token)
		}
		i, found := slices.BinarySearch(keys, string(after))
		if found {
			i++
		}
		keys = keys[i:]
	}
	size := s.knobs.PageSize
	if size == 0 {
		size = defaultPage
	}
	value := make([]any, 0, min(size, len(keys)))
	for _, k := range keys[:min(size, len(keys))] {
		value = append(value, show(k))
	}
	next := ""
	if len(keys) > size {
		query.Set("$skipToken", base64.RawURLEncoding.EncodeToString([]byte(keys[size-1])))
		next = s.base(c.r) + c.r.URL.EscapedPath() + "?" + query.Encode()
	}
	if c.at.kind == list && c.at.typ.name == nsgType {
		return answer{status: http.StatusOK, body: joined(value, next)}, nil
	}
	body := map[string]any{"value": value}
	if next != "" {
		body["nextLink"] = next
	}
	return answer{status: http.StatusOK, body: body}, nil
}

// joined is a page whose elements are text already.
func joined(value []any, next string) any {
	var b bytes.Buffer
	b.WriteString(`{"value":[`)
	for i, v := range value {
		text, ok := v.(json.RawMessage)
		if !ok {
			return map[string]any{"value": value, "nextLink": next} // write says what is wrong with it
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(text)
	}
	b.WriteByte(']')
	if next != "" {
		link, _ := json.Marshal(next)
		b.WriteString(`,"nextLink":`)
		b.Write(link)
	}
	b.WriteByte('}')
	return literal(b.Bytes())
}

// literal is a body that is JSON already.
type literal []byte

// listAdminRules answers a page of the security admin rules in effect on a virtual network. The next page is
// asked for with the token in the body.
func (s *Server) listAdminRules(c *call) (answer, *Error) {
	if c.r.Method != http.MethodPost {
		return answer{}, methodNotAllowed(c.r)
	}
	if _, err := s.find(c.at); err != nil {
		return answer{}, err
	}
	var query struct {
		SkipToken string `json:"skipToken"`
	}
	if err := decode(c.body, &query); err != nil {
		return answer{}, newError(http.StatusBadRequest, "InvalidRequestContent", "The request content was invalid and could not be deserialized: '%v'.", err)
	}
	rules := s.knobs.AdminRules[key(c.at.id)]
	from := 0
	if query.SkipToken != "" {
		n, err := strconv.Atoi(query.SkipToken)
		if err != nil || n < 0 || n > len(rules) {
			return answer{}, newError(http.StatusBadRequest, "InvalidSkipToken", "The skip token '%s' is invalid.", query.SkipToken)
		}
		from = n
	}
	end := len(rules)
	if s.knobs.PageSize > 0 {
		end = min(end, from+s.knobs.PageSize)
	}
	body := map[string]any{"value": append([]map[string]any{}, rules[from:end]...)}
	if end < len(rules) {
		body["skipToken"] = strconv.Itoa(end)
	}
	return answer{status: http.StatusOK, body: body}, nil
}
