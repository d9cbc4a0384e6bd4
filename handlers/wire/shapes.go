package wire

import (
	"maps"
	"net/http"
	"strings"
	"unicode"

	"portcullis/core/defender"
	"portcullis/core/doctor"
	"portcullis/core/inventory"
	"portcullis/core/jit"
	"portcullis/core/store"
)

// The shapes of texts and lists of both faces, by the names that the api tags of fields have. They tell the OpenAPI document
// what the readers hold bodies to, and hold nothing to it themselves; their bounds are the readers' own.

// guid is a GUID in any case.
const guid = "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"

// segment is a name in an ARM id. Which characters ARM takes depends on the type; these are in every one.
const segment = "[0-9a-zA-Z_-]([0-9a-zA-Z_.-]*[0-9a-zA-Z_-])?"

// lengths is the pattern of lengths in ISO 8601 that have a fixed length: weeks and days, then hours, minutes and seconds after a T, at
// least one of them, each with a fraction or without.
const lengths = "^P(" + aNumber + "W(" + aNumber + "D)?(" + ofDay + ")?|" + aNumber + "D(" + ofDay + ")?|" + ofDay + ")$"

const (
	aNumber = "[0-9]+([.,][0-9]+)?"
	ofDay   = "T(" + aNumber + "H(" + aNumber + "M)?(" + aNumber + "S)?|" + aNumber + "M(" + aNumber + "S)?|" + aNumber + "S)"
)

// Shape is what a schema says beside its type.
type Shape = map[string]any

// Shapes gives every shape.
func Shapes() map[string]Shape {
	out := texts()
	maps.Copy(out, answers())
	maps.Copy(out, parameters())
	return out
}

// texts are the shapes of what bodies and answers hold.
func texts() map[string]Shape {
	return map[string]Shape{
		"vm":              {"pattern": "^" + anyCase("/subscriptions/") + guid + anyCase("/resourceGroups/") + `[^/%\s]{1,90}` + anyCase("/providers/microsoft.compute/virtualMachines/") + `[^/%\s]{1,80}$`, "maxLength": 500, "description": "the ARM id of a virtual machine"},
		"arm":             {"maxLength": 500, "description": "an ARM id"},
		"policyID":        {"maxLength": jit.MaxField, "pattern": "^" + anyCase("/subscriptions/") + guid + anyCase("/resourceGroups/") + `[^/%\s]{1,90}` + anyCase("/providers/microsoft.security/locations/") + `[^/%\s]+` + anyCase("/jitNetworkAccessPolicies/") + `[^/%\s]+$`, "description": "the id of a just-in-time policy"},
		"machines":        {"minItems": 1, "maxItems": jit.MaxVMs},
		"listed":          {"maxItems": jit.MaxListedVMs},
		"ports":           {"minItems": 1, "maxItems": jit.MaxPorts},
		"prefixes":        {"minItems": 1, "maxItems": jit.MaxSources},
		"anyPrefixes":     {"maxItems": jit.MaxSources},
		"prefix":          {"maxLength": 64, "description": "an address, a prefix in CIDR notation, or * for any"},
		"protocol":        {"enum": []string{string(jit.TCP), string(jit.UDP), string(jit.AnyProtocol)}},
		"existingRules":   {"enum": []string{jit.Override.String(), jit.Respect.String()}},
		"duration":        {"maxLength": maxDuration, "pattern": lengths, "description": "a length in ISO 8601 without years and months, such as PT45M"},
		"maximum":         {"maxLength": maxDuration, "pattern": lengths, "description": "a length in ISO 8601 from PT5M to P1D"},
		"time":            {"format": "date-time"},
		"day":             {"format": "date"},
		"uuid":            {"format": "uuid"},
		"ipv4":            {"format": "ipv4"},
		"portNumber":      {"description": "0 to 65535, as a number or as a text of digits", "oneOf": []any{Shape{"type": "integer", "minimum": 0, "maximum": 65535}, Shape{"type": "string", "pattern": "^[0-9]{1,5}$"}}},
		"mapped":          {"maximum": jit.MaxMapped},
		"widest4":         {"minimum": 0, "maximum": 32, "description": "the length of the widest prefix, such as 24; 0 for no bound"},
		"widest6":         {"minimum": 0, "maximum": 128, "description": "the length of the widest prefix, such as 64; 0 for no bound"},
		"approvers":       {"minimum": 0, "maximum": jit.MaxApprovers},
		"approverIDs":     {"minItems": 1, "maxItems": jit.MaxPeople},
		"digest":          {"pattern": "^[0-9a-f]{64}$"},
		"justification":   {"maxLength": jit.MaxJustification},
		"review":          {"minLength": 1, "maxLength": jit.MaxReview},
		"reasonText":      {"minLength": 1, "maxLength": jit.MaxJustification, "description": "why, for others to read"},
		"resourceGroupId": {"maxLength": jit.MaxField, "pattern": "^" + anyCase("/subscriptions/") + guid + anyCase("/resourceGroups/") + `[^/%\s]{1,90}$`, "description": "the ARM id of a resource group"},
		"documentFormat":  {"enum": []string{"portcullis-policies"}},
		"kind":            {"minLength": 1, "maxLength": 100},
	}
}

// answers are the words of answers, and those of bodies among them.
func answers() map[string]Shape {
	return map[string]Shape{
		"status":         {"enum": words(jit.AwaitingApproval.String(), jit.Scheduled.String(), jit.Initiating.String(), jit.Initiated.String(), jit.Revoked.String())},
		"reason":         {"enum": words(jit.UserRequested, jit.Expired, jit.NewerRequestInitiated, jit.OpeningFailed, jit.PolicyRemoved, jit.PolicyChanged, jit.MachineGone, jit.RightLost, jit.RuleDisplaced, jit.RemovedByOthers, jit.NotCertain, jit.ApprovalExpired, jit.Denied, jit.LockedDown, jit.DrillOnly)},
		"right":          {"enum": words(jit.ByWrite, jit.ByRole, jit.ByPolicy)},
		"contractReason": {"enum": words(jit.UserRequested, jit.Expired, jit.NewerRequestInitiated)},
		"reviewStatus":   {"enum": []string{reviewOwed, reviewWritten, reviewNotOwed}},
		"progress":       {"enum": []string{"Waiting", "Confirmed"}},
		"access":         {"enum": []string{jit.Allow.String(), jit.Deny.String()}},
		"machineState":   {"enum": words(inventory.MachineConfigured, inventory.MachineNotConfigured, inventory.MachineUnsupported)},
		"machineReason":  {"enum": words(inventory.ReasonMissingNSG, inventory.ReasonClassic, inventory.ReasonFirewallManager)},
		"connection":     {"enum": []string{inventory.ConnectionNSG, inventory.ConnectionFirewall}},
		"operation":      {"enum": words(store.Operations()...)},
		"result":         {"enum": words(store.Results()...)},
		"finding":        {"enum": words(store.FindingKinds()...)},
		"checkState":     {"enum": words(doctor.OK, doctor.Unknown, doctor.Attention, doctor.Broken)},
		"outcome":        {"enum": words(defender.Created, defender.Updated, defender.Unchanged, defender.Failed)},
		"health":         {"enum": []string{"ok", "unavailable"}},
		"provisioning":   {"enum": []string{"Succeeded"}},
	}
}

// parameters are the shapes of what stands in paths, queries and headers.
func parameters() map[string]Shape {
	return map[string]Shape{
		"guid":    {"format": "uuid"},
		"page":    {"pattern": "^([1-9][0-9]{0,2}|1000)$"},
		"count":   {"pattern": "^[1-9][0-9]*$", "maxLength": 18},
		"head":    {"pattern": "^[0-9a-fA-F]{64}$"},
		"chain":   {"pattern": "^(none|" + guid + ")$"},
		"etag":    {"description": "entity tags; what is none of the policy's matches nothing"},
		"version": {"pattern": "^20[0-9]{2}-[0-9]{2}-[0-9]{2}(-[Pp][Rr][Ee][Vv][Ii][Ee][Ww])?$"},
		"key":     {"minLength": 1, "maxLength": 200, "pattern": "^[!-~]+$"},
		"group":   {"minLength": 1, "maxLength": 90, "pattern": "^" + segment + "$"},
		"name":    {"minLength": 1, "maxLength": 80, "pattern": "^" + segment + "$"},
	}
}

// CodesByStatus gives the codes that errors of a status have, sorted, as [Answer] gives them.
func CodesByStatus() map[int][]string {
	out := map[int][]string{}
	for _, name := range Codes {
		code, status := jit.Code(name), http.StatusBadRequest
		switch {
		case statuses[code] != 0:
			status = statuses[code]
		case code == codeLocked || code == store.CodeConcurrent:
			status = http.StatusConflict
		case code == codeForbidden:
			status = http.StatusBadGateway
		case code == codeInternal:
			status = http.StatusInternalServerError
		case code == codeTimeout || strings.HasSuffix(name, "Unavailable"):
			status = http.StatusServiceUnavailable
		}
		out[status] = append(out[status], name)
	}
	return out
}

// anyCase gives a pattern of a text whose case does not count.
func anyCase(text string) string {
	var out strings.Builder
	for _, c := range text {
		switch {
		case unicode.IsLetter(c):
			out.WriteString("[" + string(unicode.ToLower(c)) + string(unicode.ToUpper(c)) + "]")
		case c == '.':
			out.WriteString(`\.`)
		default:
			out.WriteRune(c)
		}
	}
	return out.String()
}

func words[T ~string](values ...T) []string {
	var out []string
	for _, v := range values {
		out = append(out, string(v))
	}
	return out
}
