package jit

import (
	"errors"
	"fmt"
)

// Code names one reason for a refusal. Codes are part of the API: they are
// PascalCase, never renamed, and each has one meaning.
type Code string

// The refusals of this package. Every one leaves everything as it was.
const (
	CodeInvalidID            Code = "InvalidResourceId"             // not an ARM id of the expected type
	CodeClassicVM            Code = "ClassicVirtualMachine"         // a Microsoft.ClassicCompute machine has no NSG
	CodeInvalidProtocol      Code = "InvalidProtocol"               // none of TCP, UDP, *
	CodeInvalidPort          Code = "InvalidPort"                   // outside 0..65535
	CodeDuplicatePort        Code = "DuplicatePort"                 // one number twice for one machine
	CodeDuplicateVM          Code = "DuplicateVirtualMachine"       // one machine twice in one body
	CodeNoPorts              Code = "PortsMissing"                  // a machine without ports
	CodeNoVMs                Code = "VirtualMachinesMissing"        // a body without machines
	CodeInvalidSource        Code = "InvalidSourceAddressPrefix"    // not an address, a prefix or *
	CodeNoSource             Code = "SourceAddressPrefixMissing"    // no source, and none could be taken from the call
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
	CodeTextNotPrintable     Code = "TextNotPrintable"              // a text with characters that cannot be seen
	CodeRequestEnded         Code = "RequestEnded"                  // extend or revoke of a grant that has ended
	CodeEndNotLater          Code = "EndTimeNotLater"               // an extension that does not extend
	CodeTooManyVMs           Code = "TooManyVirtualMachines"        // over MaxVMs in one call, or MaxListedVMs in one list
	CodeInvalidMappedPort    Code = "InvalidMappedPort"             // outside 1..MaxMapped, or one twice for one machine
	CodeInvalidPublicAddress Code = "InvalidPublicIpAddress"        // not an IPv4 address
	CodeTooManyPorts         Code = "TooManyPorts"                  // over MaxPorts for one machine
	CodeTooManySources       Code = "TooManySources"                // over MaxSources for one port, or MaxMachineSources for one machine

	// What the options in force do not let anybody ask for.
	CodeSourceAnyForbidden    Code = "SourceAnyForbidden"    // every address, of both families or of one
	CodeSourceTooWide         Code = "SourceTooWide"         // a prefix wider than the widest
	CodeJustificationRequired Code = "JustificationRequired" // a request that does not say why
	CodeInvalidWidestSource   Code = "InvalidWidestSource"   // options with a bound that bounds nothing
)

// Error is a refusal that travels to the person who asked. Target names what
// was wrong as a path into what was sent ("virtualMachines[0].ports[1].number")
// or the resource; Message says what to do next and holds nothing secret.
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

// At returns a copy of the error with its target set below path, for callers that
// know where in a larger body the refused value stood.
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

// Refused returns the refusal in an error, or nil.
func Refused(err error) *Error {
	refused, ok := errors.AsType[*Error](err)
	if !ok {
		return nil
	}
	return refused
}

// Below returns an error with its refusal, if it has one, set below path: see [Error.At].
func Below(err error, path string) error {
	if refused := Refused(err); refused != nil {
		return refused.At(path)
	}
	return err
}
