package armsim

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// Limits of an NSG, from Azure's published subscription limits.
const (
	MaxRules        = 1000
	MaxPrefixes     = 4000 // in all rules together; source and destination are counted apart, and so are ports (assumed)
	MaxDescription  = 140  // characters
	MinPriority     = 100
	MaxPriority     = 4096
	maxGroupsInRule = 10
)

// Validate checks the rules of an NSG document as ARM does when it is written, and returns the refusal, an *[Error]. It
// stops at the first fault. Codes known from public reports are ARM's own; those marked unverified in the package comment
// are guesses.
//
// It does not check that referenced resources exist, nor that application security groups are in one virtual network.
func Validate(id string, document json.RawMessage) error {
	doc, err := parseDoc(document)
	if err == nil {
		err = validate(id, doc)
	}
	if err != nil {
		return err
	}
	return nil
}

func validate(id string, doc map[string]any) *Error {
	p, _ := doc["properties"].(map[string]any)
	raw, ok := p["securityRules"]
	if !ok || raw == nil {
		return nil
	}
	rules, ok := raw.([]any)
	if !ok {
		return invalid("InvalidRequestFormat", "Cannot parse the request: securityRules is not a list.")
	}
	if len(rules) > MaxRules {
		return invalid("SecurityRuleCountLimitReached", "Cannot create more than %d security rules for Network Security Group %s. Current count %d.", MaxRules, id, len(rules))
	}
	names, slots := map[string]string{}, map[string]string{}
	sums := map[string]int{}
	for _, item := range rules {
		rule, ok := item.(map[string]any)
		if !ok {
			return invalid("InvalidRequestFormat", "Cannot parse the request: a security rule is not an object.")
		}
		name, _ := rule["name"].(string)
		v := &ruleCheck{id: id + "/securityRules/" + name, sums: sums}
		v.p, _ = rule["properties"].(map[string]any)
		if err := v.check(name); err != nil {
			return err
		}
		if _, taken := names[strings.ToLower(name)]; taken {
			return invalid("DuplicateResourceName", "Resource %s has two child resources with the same name (%s).", id, name)
		}
		names[strings.ToLower(name)] = name
		slot := strings.ToLower(v.text("direction")) + strconv.Itoa(v.priority)
		if other, taken := slots[slot]; taken {
			return invalid("SecurityRuleConflict", "Security rule %s conflicts with rule %s. Rules cannot have the same Priority and Direction. To learn more, see aka.ms/nsgrules.", other, name)
		}
		slots[slot] = name
	}
	for _, what := range []string{"SourceAddressPrefixes", "DestinationAddressPrefixes", "SourcePortRanges", "DestinationPortRanges"} {
		if sums[what] > MaxPrefixes {
			return invalid("SecurityRuleAddressesOrPortsPerSecurityGroupLimitReached",
				"Network security group %s cannot have more than %d %s. It has %d.", id, MaxPrefixes, what, sums[what])
		}
	}
	return nil
}

func invalid(code, format string, args ...any) *Error {
	return newError(http.StatusBadRequest, code, format, args...)
}

// ruleCheck checks one rule.
type ruleCheck struct {
	id       string
	p        map[string]any // properties
	priority int
	sums     map[string]int // addresses and ports of the NSG so far
}

// resourceName is the grammar of the names of rules, and of NSGs and most other network resources.
var resourceName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_.-]{0,78}[A-Za-z0-9_])?$`)

func (v *ruleCheck) check(name string) *Error {
	if !resourceName.MatchString(name) {
		return badName(name)
	}
	if v.p == nil {
		return invalid("InvalidRequestFormat", "Security rule %s has no properties.", v.id)
	}
	if n := len([]rune(v.text("description"))); n > MaxDescription {
		return invalid("SecurityRuleInvalidDescription", "Security rule %s has a description of %d characters; the maximum is %d.", v.id, n, MaxDescription)
	}
	if err := v.checkPriority(); err != nil {
		return err
	}
	for _, e := range []struct {
		property, code string
		values         []string
	}{
		{"direction", "SecurityRuleInvalidDirection", []string{"Inbound", "Outbound"}},
		{"access", "SecurityRuleInvalidAccessType", []string{"Allow", "Deny"}},
		{"protocol", "SecurityRuleInvalidProtocol", []string{"Tcp", "Udp", "Icmp", "Esp", "Ah", "*"}},
	} {
		if !oneOf(v.text(e.property), e.values) {
			return invalid(e.code, "Security rule %s has invalid %s. Value provided: %s. Allowed values: %s.", v.id, e.property, v.text(e.property), strings.Join(e.values, ","))
		}
	}
	for _, side := range []string{"source", "destination"} {
		if err := v.checkPorts(side); err != nil {
			return err
		}
	}
	return v.checkAddresses()
}

func badName(name string) *Error {
	return invalid("InvalidResourceName", "Resource name %s is invalid. The name can be up to 80 characters long. It must begin with a word character, and it must end with a word character or with '_'. The name may contain word characters or '.', '-', '_'.", name)
}

func oneOf(value string, values []string) bool {
	for _, v := range values {
		if strings.EqualFold(v, value) {
			return true
		}
	}
	return false
}

func (v *ruleCheck) text(property string) string {
	s, _ := v.p[property].(string)
	return s
}

func (v *ruleCheck) checkPriority() *Error {
	number, _ := v.p["priority"].(json.Number)
	n, err := strconv.Atoi(number.String())
	if err != nil || n < MinPriority || n > MaxPriority {
		return invalid("SecurityRuleInvalidPriority", "Security rule %s has invalid Priority. Value provided: %v Allowed range %d-%d.", v.id, v.p["priority"], MinPriority, MaxPriority)
	}
	v.priority = n
	return nil
}

// plural returns the list of a property, and a refusal when it is not a list of strings.
func (v *ruleCheck) plural(property string) ([]string, *Error) {
	raw, ok := v.p[property]
	if !ok || raw == nil {
		return nil, nil
	}
	list, ok := raw.([]any)
	if !ok {
		return nil, invalid("InvalidRequestFormat", "Cannot parse the request: %s of security rule %s is not a list.", property, v.id)
	}
	out := make([]string, len(list))
	for i, e := range list {
		if out[i], ok = e.(string); !ok {
			return nil, invalid("InvalidRequestFormat", "Cannot parse the request: %s of security rule %s holds something that is not text.", property, v.id)
		}
	}
	return out, nil
}

// checkPorts checks that exactly one of {side}PortRange and {side}PortRanges is given, and that each is *, a port or a
// range; * stands alone.
func (v *ruleCheck) checkPorts(side string) *Error {
	singular := v.text(side + "PortRange")
	list, err := v.plural(side + "PortRanges")
	if err != nil {
		return err
	}
	name := title(side) + "PortRange"
	if singular != "" && len(list) > 0 {
		return invalid("SecurityRuleParameterCannotHaveBothValues", "Security rule %s cannot specify both %s and %ss.", v.id, name, name)
	}
	if singular == "" && len(list) == 0 {
		return invalid("SecurityRuleParameterValueMissing", "Security rule %s must specify %s or %ss.", v.id, name, name)
	}
	for _, r := range list {
		if r == "*" {
			return invalid("SecurityRuleParameterContainsInvalidPortRanges", "Security rule parameter %ss for rule with Id %s contains an invalid port range: %s.", name, v.id, r)
		}
	}
	if singular != "" {
		list = []string{singular}
	}
	for _, r := range list {
		if r != "*" && !portRange(r) {
			return invalid("SecurityRuleInvalidPortRange", "Security rule %s has invalid Port range. Value provided: %s. Value should be an integer OR integer range with '-' delimiter. Valid range 0-65535.", v.id, r)
		}
	}
	v.sums[name+"s"] += len(list)
	return nil
}

func portRange(text string) bool {
	low, high, isRange := strings.Cut(text, "-")
	if !isRange {
		high = low
	}
	a, okA := port(low)
	b, okB := port(high)
	return okA && okB && a <= b
}

func port(text string) (int, bool) {
	if text == "" || strings.Trim(text, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.Atoi(text)
	return n, err == nil && n <= 65535
}

func title(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
