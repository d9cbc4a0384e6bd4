package armsim

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// putNSG replaces the whole NSG: rules and tags that the body does not name are gone. The order of the checks (body,
// etag, rules, another operation) is unverified.
func (s *Server) putNSG(c *call) (answer, *Error) {
	doc, err := parseDoc(c.body)
	if err != nil {
		return answer{}, err
	}
	old := s.resources[key(c.at.id)]
	if err := checkLocation(old, doc); err != nil {
		return answer{}, err
	}
	if err := checkMatch(c, old); err != nil {
		return answer{}, err
	}
	if err := validate(c.at.id, doc); err != nil {
		return answer{}, err
	}
	o, err := s.begin(c, doc, false)
	if err != nil {
		return answer{}, err
	}
	s.announce(c, o, false)
	r := s.resources[o.Target]
	return answer{status: created(old != nil), body: s.render(r, r.Doc)}, nil
}

func created(existed bool) int {
	if existed {
		return http.StatusOK
	}
	return http.StatusCreated
}

// checkMatch compares If-Match with the etag, as text. ARM ignores an etag in the body.
func checkMatch(c *call, old *resource) *Error {
	want := c.r.Header.Get("If-Match")
	if want == "" || want == "*" && old != nil || old != nil && want == old.ETag {
		return nil
	}
	have := "null"
	if old != nil {
		have = old.ETag
	}
	return &Error{
		Status: http.StatusPreconditionFailed, Code: "PreconditionFailed", Message: "Precondition failed.",
		Details: []Detail{{
			Code:    "PreconditionFailedEtagMismatch",
			Message: fmt.Sprintf("Etag provided in if-match header %s does not match etag %s of resource %s in NRP data store.", want, have, c.at.id),
		}},
	}
}

func (s *Server) deleteNSG(c *call) (answer, *Error) {
	old, ok := s.resources[key(c.at.id)]
	if !ok {
		return answer{status: http.StatusNoContent}, nil
	}
	if refs := s.references(key(c.at.id)); len(refs.nics)+len(refs.subnets) > 0 {
		users := strings.Join(append(slices.Clone(refs.nics), refs.subnets...), ", ")
		return answer{}, newError(http.StatusBadRequest, "InUseNetworkSecurityGroupCannotBeDeleted",
			"Network security group %s cannot be deleted because it is in use by the following resources: %s. In order to delete the Network security group, remove the association with the resource(s).", old.ID, users)
	}
	o, err := s.begin(c, nil, true)
	if err != nil {
		return answer{}, err
	}
	s.announce(c, o, true)
	return answer{status: http.StatusAccepted}, nil
}

// ruleIndex finds a rule by name, in any case; -1 when there is none.
func ruleIndex(doc map[string]any, name string) int {
	return slices.IndexFunc(items(doc, "securityRules"), func(rule map[string]any) bool {
		n, _ := rule["name"].(string)
		return strings.EqualFold(n, name)
	})
}

func (s *Server) getRule(c *call) (answer, *Error) {
	r, err := s.find(c.at)
	if err != nil {
		return answer{}, err
	}
	i := ruleIndex(r.Doc, c.at.childName)
	if i < 0 {
		return answer{}, childNotFound(c.at)
	}
	return answer{status: http.StatusOK, body: items(s.render(r, r.Doc), "securityRules")[i]}, nil
}

// putRule changes or adds one rule of an NSG. Nothing is known of If-Match here, so it is ignored (unverified).
func (s *Server) putRule(c *call) (answer, *Error) {
	r, err := s.find(c.at)
	if err != nil {
		return answer{}, err
	}
	rule, err := parseDoc(c.body)
	if err != nil {
		return answer{}, err
	}
	rule["name"] = c.at.childName
	doc, rules := editable(r.Doc, "securityRules")
	i := ruleIndex(doc, c.at.childName)
	if i >= 0 {
		rule["name"] = items(doc, "securityRules")[i]["name"]
		rules[i] = rule
	} else {
		rules = append(rules, rule)
	}
	setProperty(doc, "securityRules", rules)
	if err := validate(r.ID, doc); err != nil {
		return answer{}, err
	}
	o, err := s.begin(c, doc, false)
	if err != nil {
		return answer{}, err
	}
	s.announce(c, o, false)
	after := s.resources[o.Target]
	at := ruleIndex(after.Doc, c.at.childName)
	return answer{status: created(i >= 0), body: items(s.render(after, after.Doc), "securityRules")[at]}, nil
}

// deleteRule takes one rule away. The rule leaves GET at once; ARM may show it as Deleting for a while (unverified).
func (s *Server) deleteRule(c *call) (answer, *Error) {
	r, ok := s.resources[key(c.at.id)]
	if !ok {
		return answer{status: http.StatusNoContent}, nil
	}
	i := ruleIndex(r.Doc, c.at.childName)
	if i < 0 {
		return answer{status: http.StatusNoContent}, nil
	}
	doc, rules := editable(r.Doc, "securityRules")
	setProperty(doc, "securityRules", slices.Delete(rules, i, i+1))
	o, err := s.begin(c, doc, false)
	if err != nil {
		return answer{}, err
	}
	s.announce(c, o, true)
	return answer{status: http.StatusAccepted}, nil
}
