package armsim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/uuid"
)

// store keeps doc at id, at once, and returns the resource. Writes that are still under way keep their end, and what they
// will make effective becomes doc.
func (s *Server) store(old *resource, id, typ string, doc map[string]any) *resource {
	r := &resource{ID: id, Type: typ, GUID: uuid.NewString()}
	if old != nil {
		*r = *old
	}
	if strings.HasPrefix(typ, "Microsoft.Classic") || strings.HasPrefix(typ, "Microsoft.Authorization/") || typ == groupType {
		r.GUID = ""
	}
	r.Doc, r.ETag, r.State = doc, newETag(), succeeded
	if typ == nsgType || typ == firewallType {
		r.Effective = doc
		for _, o := range s.inFlight(key(id)) {
			r.State = updating
			o.Doc = doc
			s.dirtyOps[o.ID] = true
		}
	}
	s.set(r)
	return r
}

// Put stores a document without HTTP, as another writer would have: at once, with a new etag, whatever the knobs, locks
// and permissions say. It serves seeds and tests. The type is read from the id, and need not be one that HTTP serves. An
// NSG is held to the same rules as over HTTP; the error is then an *[Error].
func (s *Server) Put(id string, doc json.RawMessage) error {
	typ, err := typeOf(id)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle(s.cfg.Now())
	if err := s.place(id, typ, doc); err != nil {
		return err
	}
	return s.save()
}

// place is Put under the lock, and leaves the saving to the caller.
func (s *Server) place(id, typ string, text []byte) error {
	doc, err := parseDoc(text)
	if err != nil {
		return err
	}
	switch typ {
	case nsgType:
		if err := checkLocation(s.resources[key(id)], doc); err != nil {
			return err
		}
		if err := validate(id, doc); err != nil {
			return err
		}
	case firewallType:
		if err := checkLocation(s.resources[key(id)], doc); err != nil {
			return err
		}
		if err := s.validateFirewall(id, doc); err != nil {
			return err
		}
	case lockType:
		if err := checkLock(doc); err != nil {
			return err
		}
	}
	s.store(s.resources[key(id)], id, typ, doc)
	return nil
}

// Get returns the document as a GET would show it.
func (s *Server) Get(id string) (json.RawMessage, bool) {
	return s.show(id, func(r *resource) map[string]any { return r.Doc })
}

// Effective returns the NSG as it filters packets: with the rules of the last write that succeeded. While a write is under
// way, or after one that failed, it differs from Get. ARM has no such view of the rules alone; how long packets really
// lag behind a success is unverified.
func (s *Server) Effective(id string) (json.RawMessage, bool) {
	return s.show(id, func(r *resource) map[string]any { return r.Effective })
}

func (s *Server) show(id string, pick func(*resource) map[string]any) (json.RawMessage, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle(s.cfg.Now())
	r, ok := s.resources[key(id)]
	if !ok || pick(r) == nil {
		return nil, false
	}
	text, err := json.Marshal(s.render(r, pick(r)))
	return text, err == nil
}

// Edit changes a document in place, as another writer would have: change is called with what a GET would show, and what
// it leaves is stored as by Put. The error is [ErrNotFound] when there is no such resource.
func (s *Server) Edit(id string, change func(doc map[string]any)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle(s.cfg.Now())
	r, ok := s.resources[key(id)]
	if !ok {
		return fmt.Errorf("edit %s: %w", id, ErrNotFound)
	}
	doc := s.render(r, r.Doc)
	change(doc)
	text, err := json.Marshal(doc)
	if err != nil {
		return fmt.Errorf("edit %s: %w", id, err)
	}
	if err := s.place(r.ID, r.Type, text); err != nil {
		return err
	}
	return s.save()
}

// Delete removes a document at once. It reports whether there was one.
func (s *Server) Delete(id string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle(s.cfg.Now())
	_, ok := s.resources[key(id)]
	s.remove(key(id))
	return ok, s.save()
}

// ErrNotFound is what Edit wraps when there is no such resource.
var ErrNotFound error = &Error{Status: http.StatusNotFound, Code: "ResourceNotFound", Message: "The resource was not found."}

// typeOf reads the type from an id, spelled as ARM does where it is known.
func typeOf(id string) (string, error) {
	s := strings.Split(strings.Trim(id, "/"), "/")
	if len(s) == 4 && strings.EqualFold(s[2], "resourceGroups") {
		return groupType, nil
	}
	if at, ok := rbacTarget(s); ok && at.kind == grant && strings.HasPrefix(id, "/") {
		return at.rbac, nil
	}
	n := len(s)
	if n < 4 || !strings.HasPrefix(id, "/") || !strings.EqualFold(s[0], "subscriptions") || !strings.EqualFold(s[n-4], "providers") {
		return "", fmt.Errorf("%q is not the id of a resource", id)
	}
	typ := s[n-3] + "/" + s[n-2]
	if strings.EqualFold(typ, lockType) {
		return lockType, nil
	}
	for _, rt := range resourceTypes() {
		if strings.EqualFold(rt.name, typ) {
			return rt.name, nil
		}
	}
	return typ, nil
}
