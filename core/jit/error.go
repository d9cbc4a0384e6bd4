package jit

import (
	"errors"
	"fmt"
)

// Code names one reason for a refusal. Codes are part of the API: PascalCase, never renamed, one meaning each.
type Code string

// The refusals of this package. A refusal changes nothing.
const (
	CodeInvalidID            Code = "InvalidResourceId"             // not an ARM id of the expected type
	CodeClassicVM            Code = "ClassicVirtualMachine"         // a Microsoft.ClassicCompute machine has no NSG
	CodeScaleSetVM           Code = "ScaleSetInstanceNotSupported"  // a scale set, or an instance of one in uniform orchestration
	CodeInvalidProtocol      Code = "InvalidProtocol"               // none of TCP, UDP, *
	CodeInvalidPort          Code = "InvalidPort"                   // outside 0..65535
	CodeDuplicatePort        Code = "DuplicatePort"                 // the same number twice for one machine
	CodeDuplicateVM          Code = "DuplicateVirtualMachine"       // the same machine twice in one body
	CodeNoPorts              Code = "PortsMissing"                  // a machine without ports
	CodeNoVMs                Code = "VirtualMachinesMissing"        // a body without machines
	CodeInvalidSource        Code = "InvalidSourceAddressPrefix"    // not an address, a prefix or *
	CodeNoSource             Code = "SourceAddressPrefixMissing"    // no source, and the caller's own address is not known
	CodeSourceNotAllowed     Code = "SourceAddressPrefixNotAllowed" // outside what the policy allows
	CodeInvalidMaximum       Code = "InvalidMaximumDuration"        // outside 5 minutes to 1 day
	CodeInvalidInitiate      Code = "InvalidInitiateInput"          // both or neither of duration and endTimeUtc
	CodeInvalidDuration      Code = "InvalidDuration"               // not positive, or not a duration
	CodeEndInPast            Code = "EndTimeInPast"                 // endTimeUtc is not after now
	CodeDurationOverMaximum  Code = "DurationOverMaximum"           // longer than the port's maximum
	CodePolicyNotFound       Code = "PolicyNotFound"                // the machine has no policy
	CodePortNotInPolicy      Code = "PortNotInPolicy"               // the policy does not name the port
	CodeInvalidExistingRules Code = "InvalidExistingRules"          // neither override nor respect
	CodeJustificationTooLong Code = "JustificationTooLong"          // over MaxJustification characters
	CodeBreakGlassReason     Code = "BreakGlassReasonRequired"      // break-glass without a justification
	CodeBreakGlassLater      Code = "BreakGlassLater"               // break-glass that begins later
	CodeDrillAlone           Code = "DrillWithoutBreakGlass"        // a drill of nothing
	CodeReviewMissing        Code = "ReviewMissing"                 // a review that says nothing
	CodeReviewTooLong        Code = "ReviewTooLong"                 // over MaxReview characters
	CodeTextNotPrintable     Code = "TextNotPrintable"              // a text with invisible characters
	CodeRequestEnded         Code = "RequestEnded"                  // extend or revoke of an ended grant
	CodeLengthUnknown        Code = "RequestLengthUnknown"          // a request from before its lengths were stored cannot be repeated
	CodeEndNotLater          Code = "EndTimeNotLater"               // an extension that would not end later
	CodeTooManyVMs           Code = "TooManyVirtualMachines"        // over MaxVMs in one call, or MaxListedVMs in one list
	CodeInvalidMappedPort    Code = "InvalidMappedPort"             // outside 1..MaxMapped, or the same port twice for one machine
	CodeInvalidPublicAddress Code = "InvalidPublicIpAddress"        // not an IPv4 address
	CodeTooManyPorts         Code = "TooManyPorts"                  // over MaxPorts for one machine
	CodeTooManySources       Code = "TooManySources"                // over MaxSources for one port, or MaxMachineSources for one machine
	CodeRequestWaits         Code = "RequestWaiting"                // extend of a grant that waits to be opened

	// Refusals by the options in force.
	CodeSourceAnyForbidden    Code = "SourceAnyForbidden"     // all addresses, or too many public addresses of a family
	CodeSourcesTogether       Code = "SourcesTooManyTogether" // more addresses than allowed, in one request or together with open windows
	CodeSourceTooWide         Code = "SourceTooWide"          // a prefix wider than the widest allowed
	CodeJustificationRequired Code = "JustificationRequired"  // a request, or a denial, without a justification
	CodeInvalidWidestSource   Code = "InvalidWidestSource"    // options with an incomplete or out-of-range bound
	CodeInvalidApprovers      Code = "InvalidApprovers"       // approvers outside 0 to MaxApprovers, or not named by object ids
)

// Error is a refusal to return to the caller. Target names what was wrong, as a path into the request body
// ("virtualMachines[0].ports[1].number") or as a resource. Message says what to do next and contains no secrets.
type Error struct {
	Code    Code
	Target  string
	Message string
}

// Error returns the code and the message, for logs and tests.
func (e *Error) Error() string { return fmt.Sprintf("%s: %s (%s)", e.Code, e.Message, e.Target) }

func refuse(code Code, target, format string, args ...any) *Error {
	return &Error{Code: code, Target: target, Message: fmt.Sprintf(format, args...)}
}

// At returns a copy of the error with its target prefixed by path, for callers that know where the refused value
// was in a larger body.
func (e *Error) At(path string) *Error {
	at := *e
	switch {
	case e.Target == "":
		at.Target = path
	case path != "":
		at.Target = path + "." + e.Target
	}
	return &at
}

// Refused returns the [*Error] in err's chain, or nil.
func Refused(err error) *Error {
	refused, ok := errors.AsType[*Error](err)
	if !ok {
		return nil
	}
	return refused
}

// Below returns err with the target of its refusal, if it has one, prefixed by path: see [Error.At].
func Below(err error, path string) error {
	if refused := Refused(err); refused != nil {
		return refused.At(path)
	}
	return err
}
