package deploysim

import (
	"encoding/json"
	"slices"
	"strings"
)

// Calls returns every request so far that changed something or tried to, first to last. What a template
// deployment makes stands before the deployment's own call, resource by resource.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// Unknown returns every request that is not understood here, as METHOD PATH.
func (s *Server) Unknown() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.unknown)
}

// Watch has a function called after every change that succeeded, with the server to look at by Show.
// The function runs before the change is answered, and waits for nothing.
func (s *Server) Watch(f func(show func(id string) Document)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watch = func(s *Server) { f(func(id string) Document { return s.resources[strings.ToLower(id)] }) }
}

// Show returns a copy of a resource as it is now, nil for none.
func (s *Server) Show(id string) Document {
	s.mu.Lock()
	defer s.mu.Unlock()
	encoded, err := json.Marshal(s.resources[strings.ToLower(id)])
	if err != nil {
		panic(err) // it came as JSON
	}
	var out Document
	if err := json.Unmarshal(encoded, &out); err != nil {
		panic(err)
	}
	return out
}

// IDs returns the ids of everything that there is, as spelled when it was made, sorted.
func (s *Server) IDs() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for id, d := range s.resources {
		if spelled := text(d["id"]); strings.EqualFold(spelled, id) {
			id = spelled
		}
		out = append(out, id)
	}
	slices.Sort(out)
	return out
}

// Put makes a resource as somebody would who is not Terraform, and does not count as a call.
// It panics where that is refused.
func (s *Server) Put(id string, body Document) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := parse(id)
	if !ok {
		panic("no id: " + id)
	}
	if status, answer := s.put(r, body); status >= 300 {
		encoded, _ := json.Marshal(answer)
		panic(id + ": " + string(encoded))
	}
}

// Register registers a resource provider as somebody would who is not Terraform.
func (s *Server) Register(subscription, namespace string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.registered[subscription+"/"+strings.ToLower(namespace)] = true
}

// Role returns a role's name by the id of its definition, "" for none.
func (s *Server) Role(definition string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.definition(definition[strings.LastIndex(definition, "/")+1:])
	if d == nil {
		return ""
	}
	return text(d["properties"].(Document)["roleName"])
}
