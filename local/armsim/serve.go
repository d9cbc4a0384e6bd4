package armsim

import (
	"net/http"
	"regexp"
	"strings"
)

// serve runs the operation that the path and the method name.
func (s *Server) serve(c *call) (answer, *Error) {
	switch c.at.kind {
	case operationPath, operationDone:
		return s.pollOperation(c)
	case lock:
		return s.serveLock(c)
	case grant:
		return s.serveGrant(c)
	case grants:
		return s.listGrants(c)
	case group:
		return s.serveGroup(c)
	case list, children, locks, genericList, groups:
		if c.r.Method != http.MethodGet {
			return answer{}, methodNotAllowed(c.r)
		}
		return s.list(c)
	case child:
		return s.serveChild(c)
	case adminRules:
		return s.listAdminRules(c)
	case provider:
		return s.serveProvider(c)
	}
	return s.serveOne(c)
}

// serveProvider says whether a provider is registered, and nothing of its types.
func (s *Server) serveProvider(c *call) (answer, *Error) {
	if c.r.Method != http.MethodGet {
		return answer{}, methodNotAllowed(c.r)
	}
	state := s.knobs.Providers[strings.ToLower(c.at.name)]
	if state == "" {
		state = "Registered"
	}
	return answer{status: http.StatusOK, body: map[string]any{
		"id": "/subscriptions/" + c.at.sub + "/providers/" + c.at.name, "namespace": c.at.name, "registrationState": state, "resourceTypes": []any{},
	}}, nil
}

func (s *Server) serveOne(c *call) (answer, *Error) {
	if c.r.Method == http.MethodGet {
		r, err := s.find(c.at)
		if err != nil {
			return answer{}, err
		}
		return answer{status: http.StatusOK, body: s.render(r, r.Doc)}, nil
	}
	if c.r.Method != http.MethodPut && c.r.Method != http.MethodDelete {
		return answer{}, methodNotAllowed(c.r)
	}
	if err := s.injected(c); err != nil {
		return answer{}, err
	}
	if c.r.Method == http.MethodPut && !resourceName.MatchString(c.at.name) {
		return answer{}, badName(c.at.name)
	}
	var a answer
	var err *Error
	switch put := c.r.Method == http.MethodPut; {
	case c.at.typ.generic && put:
		a, err = s.putPlain(c)
	case c.at.typ.generic:
		a, err = s.deletePlain(c)
	case c.at.typ.name == firewallType && put:
		a, err = s.putFirewall(c)
	case c.at.typ.name == firewallType:
		a, err = s.deleteLong(c)
	case put:
		a, err = s.putNSG(c)
	default:
		a, err = s.deleteNSG(c)
	}
	return s.lost(c, a, err)
}

// find returns the resource, or why there is none.
func (s *Server) find(at target) (*resource, *Error) {
	if r, ok := s.resources[key(at.id)]; ok {
		return r, nil
	}
	if at.group != "" && s.resources[key(groupID(at.id))] == nil {
		return nil, groupNotFound(at.group)
	}
	return nil, notFound(at)
}

// injected fails a write as the knobs ask.
func (s *Server) injected(c *call) *Error {
	w := s.knobs.writes(key(c.at.id))
	if w.FailNext <= 0 {
		return nil
	}
	w.FailNext--
	if w.FailStatus == http.StatusServiceUnavailable {
		return newError(http.StatusServiceUnavailable, "ServiceUnavailable", "The service is unavailable. Please retry later.")
	}
	return newError(http.StatusInternalServerError, "InternalServerError", "An error occurred.")
}

// lost drops the reply to a write that was applied, as the knobs ask.
func (s *Server) lost(c *call, a answer, err *Error) (answer, *Error) {
	w := s.knobs.writes(key(c.at.id))
	if err == nil && w.LoseReplies > 0 {
		w.LoseReplies--
		a.lose = true
	}
	return a, err
}

func (s *Server) serveChild(c *call) (answer, *Error) {
	if c.at.typ.name != nsgType {
		return s.serveSubnet(c)
	}
	switch c.r.Method {
	case http.MethodGet:
		return s.getRule(c)
	case http.MethodPut, http.MethodDelete:
	default:
		return answer{}, methodNotAllowed(c.r)
	}
	if err := s.injected(c); err != nil {
		return answer{}, err
	}
	var a answer
	var err *Error
	if c.r.Method == http.MethodPut {
		a, err = s.putRule(c)
	} else {
		a, err = s.deleteRule(c)
	}
	return s.lost(c, a, err)
}

func (s *Server) serveSubnet(c *call) (answer, *Error) {
	if c.r.Method != http.MethodGet {
		return answer{}, methodNotAllowed(c.r)
	}
	vnet, err := s.find(c.at)
	if err != nil {
		return answer{}, err
	}
	for _, subnet := range items(s.render(vnet, vnet.Doc), "subnets") {
		if name, _ := subnet["name"].(string); strings.EqualFold(name, c.at.childName) {
			return answer{status: http.StatusOK, body: subnet}, nil
		}
	}
	return answer{}, childNotFound(c.at)
}

func childNotFound(at target) *Error {
	return newError(http.StatusNotFound, "NotFound", "Resource %s not found.", at.path())
}

// putPlain stores a document as it is, at once.
func (s *Server) putPlain(c *call) (answer, *Error) {
	doc, err := parseDoc(c.body)
	if err != nil {
		return answer{}, err
	}
	old := s.resources[key(c.at.id)]
	if err := checkLocation(old, doc); err != nil {
		return answer{}, err
	}
	r := s.store(old, c.at.id, c.at.typ.name, doc)
	status := http.StatusOK
	if old == nil {
		status = http.StatusCreated
	}
	return answer{status: status, body: s.render(r, r.Doc)}, nil
}

func (s *Server) deletePlain(c *call) (answer, *Error) {
	if _, ok := s.resources[key(c.at.id)]; !ok {
		return answer{status: http.StatusNoContent}, nil
	}
	s.remove(key(c.at.id))
	return answer{status: http.StatusOK}, nil
}

// serveGroup answers for a resource group, which exists from the first resource put into it. A DELETE takes what is in it
// along, at once; ARM takes minutes for it, and refuses what is in use elsewhere.
func (s *Server) serveGroup(c *call) (answer, *Error) {
	old := s.resources[key(c.at.id)]
	switch {
	case c.r.Method == http.MethodGet && old == nil:
		return answer{}, groupNotFound(c.at.group)
	case c.r.Method == http.MethodGet:
		return answer{status: http.StatusOK, body: s.render(old, old.Doc)}, nil
	case c.r.Method == http.MethodDelete && old == nil:
		return answer{}, groupNotFound(c.at.group)
	case c.r.Method == http.MethodDelete:
		for k := range s.resources {
			if within(k, c.at.id) {
				s.remove(k)
			}
		}
		return answer{status: http.StatusAccepted}, nil
	case c.r.Method != http.MethodPut:
		return answer{}, methodNotAllowed(c.r)
	}
	doc, err := parseDoc(c.body)
	if err != nil {
		return answer{}, err
	}
	if err := checkLocation(old, doc); err != nil {
		return answer{}, err
	}
	r := s.store(old, c.at.id, groupType, doc)
	status := http.StatusOK
	if old == nil {
		status = http.StatusCreated
	}
	return answer{status: status, body: s.render(r, r.Doc)}, nil
}

// parseDoc reads the body of a PUT and drops the properties that only the service writes.
func parseDoc(body []byte) (map[string]any, *Error) {
	var doc map[string]any
	if err := decode(body, &doc); err != nil || doc == nil {
		return nil, newError(http.StatusBadRequest, "InvalidRequestContent", "The request content was invalid and could not be deserialized: '%v'.", err)
	}
	if p, ok := doc["properties"]; ok && p != nil {
		if _, ok := p.(map[string]any); !ok {
			return nil, newError(http.StatusBadRequest, "InvalidRequestContent", "The request content was invalid and could not be deserialized: 'properties is not an object'.")
		}
	}
	strip(doc)
	return doc, nil
}

var tagName = regexp.MustCompile(`^[^<>%&\\?/]{1,512}$`)

func checkLocation(old *resource, doc map[string]any) *Error {
	location, _ := doc["location"].(string)
	if location == "" {
		return newError(http.StatusBadRequest, "LocationRequired", "The location property is required for this definition.")
	}
	if old != nil && (&resource{Doc: doc}).location() != old.location() {
		return newError(http.StatusConflict, "InvalidResourceLocation",
			"The resource '%s' already exists in location '%s'. A resource with the same name cannot be created in location '%s'.",
			lastSegment(old.ID), old.location(), location)
	}
	tags, ok := doc["tags"]
	if !ok || tags == nil {
		return nil
	}
	m, ok := tags.(map[string]any)
	if !ok || len(m) > 50 {
		return newError(http.StatusBadRequest, "InvalidTags", "The tags are not an object of at most 50 entries.")
	}
	for name, value := range m {
		if text, ok := value.(string); !ok || len(text) > 256 || !tagName.MatchString(name) {
			return newError(http.StatusBadRequest, "InvalidTag", "The tag '%s' is invalid.", name)
		}
	}
	return nil
}
