package wire

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"portcullis/core/access"
	"portcullis/core/admission"
	"portcullis/core/defender"
	"portcullis/core/dial"
	"portcullis/core/glass"
	"portcullis/core/hold"
	"portcullis/core/inventory"
	"portcullis/core/jit"
	"portcullis/core/limit"
	"portcullis/core/lockdown"
	"portcullis/core/network"
	"portcullis/core/pending"
	"portcullis/core/permit"
	"portcullis/core/plan"
	"portcullis/core/round"
	"portcullis/core/store"
	"portcullis/handlers/api"
)

// The refusals of the door itself.
const (
	CodeUnauthenticated  jit.Code = "Unauthenticated"        // no valid token
	CodeCrossOrigin      jit.Code = "CrossOriginRequest"     // a browser sent it from another site
	CodeInvalidContent   jit.Code = "InvalidRequestContent"  // not JSON, or not of the expected shape
	CodeUnknownField     jit.Code = "UnknownField"           // a field that the body may not have
	CodeDuplicateField   jit.Code = "DuplicateField"         // a field that stands twice
	CodeBodyTooLarge     jit.Code = "RequestBodyTooLarge"    // over 1 MiB, a replaced policy over 4, a document of policies over 16
	CodeFieldTooLong     jit.Code = "FieldTooLong"           // a text that is longer than any such can be
	CodeTooManyPolicies  jit.Code = "TooManyPolicies"        // over jit.MaxListedVMs in one import
	CodeTooManyDocuments jit.Code = "TooManyDocuments"       // others are being read
	CodeEmptyBody        jit.Code = "RequestBodyMissing"     // empty
	CodeInvalidPath      jit.Code = "InvalidRequestPath"     // a path that could be read in two ways
	CodeNotFound         jit.Code = "NotFound"               // no such path
	CodeNotAllowed       jit.Code = "MethodNotAllowed"       // not with this method
	CodeInvalidStart     jit.Code = "InvalidStartTime"       // a startTimeUtc that is not RFC 3339
	CodeStartNoOffset    jit.Code = "StartTimeWithoutOffset" // a startTimeUtc of which nobody knows when it is
	CodeUnknownFormat    jit.Code = "UnknownFormat"          // a document of another kind, or of a version that this one does not know
	CodeIncomplete       jit.Code = "IncompleteDocument"     // a document that does not hold what it was to hold

	// Resource Manager's own words.
	CodeMissingVersion      jit.Code = "MissingApiVersionParameter"
	CodeInvalidVersion      jit.Code = "InvalidApiVersionParameter"
	CodeInvalidSubscription jit.Code = "InvalidSubscriptionId"
	CodeNoSubscription      jit.Code = "SubscriptionNotFound"
	CodeNoGroup             jit.Code = "ResourceGroupNotFound"

	codeInternal  jit.Code = "InternalServerError"
	codeLocked    jit.Code = "ScopeLocked"
	codeForbidden jit.Code = "AppPermissionMissing"
	codeTimeout   jit.Code = "Timeout"
)

// statuses maps refusals to HTTP statuses. What is not named here is 400.
var statuses = map[jit.Code]int{
	CodeUnauthenticated:                http.StatusUnauthorized,
	CodeCrossOrigin:                    http.StatusForbidden,
	permit.CodeForbidden:               http.StatusForbidden,
	CodeNotFound:                       http.StatusNotFound,
	CodeNotAllowed:                     http.StatusMethodNotAllowed,
	CodeNoSubscription:                 http.StatusNotFound,
	CodeNoGroup:                        http.StatusNotFound,
	CodeBodyTooLarge:                   http.StatusRequestEntityTooLarge,
	CodeTooManyDocuments:               http.StatusTooManyRequests,
	admission.CodeTooManyRefusals:      http.StatusTooManyRequests,
	inventory.CodeTooManyVerifications: http.StatusTooManyRequests,
	jit.CodePolicyNotFound:             http.StatusNotFound,
	network.CodeVMNotFound:             http.StatusNotFound,
	access.CodeRequestNotFound:         http.StatusNotFound,
	network.CodeMissingNSG:             http.StatusConflict,
	network.CodeSharedAddress:          http.StatusConflict,
	network.CodeNoAddress:              http.StatusConflict,
	defender.CodeOtherPolicy:           http.StatusConflict,
	defender.CodePrecondition:          http.StatusPreconditionFailed,
	store.CodeConcurrent:               http.StatusConflict,
	access.CodePolicyChanged:           http.StatusConflict,
	round.CodeTargetGone:               http.StatusConflict,
	hold.CodeHeld:                      http.StatusConflict,
	lockdown.CodeTooManyHolds:          http.StatusConflict,
	lockdown.CodeNotFound:              http.StatusNotFound,
	lockdown.CodeHoldNotFound:          http.StatusNotFound,
	jit.CodeRequestEnded:               http.StatusConflict,
	jit.CodeLengthUnknown:              http.StatusConflict,
	glass.CodeNotPermitted:             http.StatusForbidden,
	glass.CodeOwnReview:                http.StatusForbidden,
	glass.CodeNotPerson:                http.StatusForbidden,
	glass.CodeReviewOwed:               http.StatusConflict,
	glass.CodeStillOpen:                http.StatusConflict,
	glass.CodeReviewWritten:            http.StatusConflict,
	glass.CodeReviewNotOwed:            http.StatusConflict,
	plan.CodeNoPriorityLeft:            http.StatusConflict,
	plan.CodeTooManyRules:              http.StatusConflict,
	plan.CodeTooManyPeers:              http.StatusConflict,
	plan.CodeNotCertain:                http.StatusConflict,
	plan.CodeBlocked:                   http.StatusConflict,

	pending.CodeOwnRequest:      http.StatusForbidden,
	pending.CodeNotAPerson:      http.StatusForbidden,
	pending.CodeOtherTenant:     http.StatusForbidden,
	pending.CodeAlreadyApproved: http.StatusConflict,
	pending.CodeNotWaiting:      http.StatusConflict,
	pending.CodeExpired:         http.StatusConflict,
	pending.CodeContentChanged:  http.StatusConflict,
	pending.CodeTooEarly:        http.StatusConflict,
	jit.CodeRequestWaits:        http.StatusConflict,
	access.CodeTooManyWaiting:   http.StatusConflict,
	access.CodeMachineReplaced:  http.StatusConflict,

	dial.CodeMappedPortTaken:       http.StatusConflict,
	dial.CodeNoMappedPort:          http.StatusConflict,
	dial.CodePublicAddressNotFound: http.StatusConflict,
	plan.CodeTooManyNATRules:       http.StatusConflict,
	network.CodeUnknownTarget:      http.StatusConflict,
	limit.CodeQuota:                http.StatusConflict,
	access.CodeKeyReused:           http.StatusUnprocessableEntity,
}

// NotAllowed gives the refusal of a method that a path does not take, and names those that it takes in the header of the
// answer. That Resource Manager has the same code is not verified.
func NotAllowed(h http.Header, r *http.Request, allowed ...string) error {
	h.Set("Allow", strings.Join(allowed, ", "))
	return &jit.Error{Code: CodeNotAllowed, Target: r.Method + " " + r.URL.Path, Message: "this path takes only " + strings.Join(allowed, ", ")}
}

// SubscriptionNotFound gives Resource Manager's answer for a subscription that is not there.
func SubscriptionNotFound(id string) error {
	return &jit.Error{Code: CodeNoSubscription, Target: id, Message: "the subscription '" + id + "' could not be found; it is none that this installation manages, or you may read nothing in it"}
}

// GroupNotFound gives Resource Manager's answer for a resource group that is not there.
func GroupNotFound(name string) error {
	return &jit.Error{Code: CodeNoGroup, Target: name, Message: "Resource group '" + name + "' could not be found."}
}

// Answer gives the status and what may be said of the error: a refusal in full,
// of anything else no more than what failed. The message of an internal error is fixed,
// since its cause may hold what the caller must not see.
func Answer(err error) (int, ErrorDetail) {
	if refused, ok := errors.AsType[*jit.Error](err); ok {
		status := statuses[refused.Code]
		if status == 0 {
			status = http.StatusBadRequest
		}
		return status, ErrorDetail{Code: api.Code(refused.Code), Message: refused.Message, Target: refused.Target}
	}
	if down, ok := errors.AsType[*store.Unavailable](err); ok {
		code := jit.Code(strings.ReplaceAll(down.Dependency, " ", "") + "Unavailable")
		why := " cannot be reached or does not take the call now"
		if errors.Is(err, store.ErrConflict) {
			why = " took changes by others first, each time"
		}
		return http.StatusServiceUnavailable, ErrorDetail{Code: api.Code(code), Target: down.Dependency,
			Message: down.Dependency + why + "; nothing was left half open, send the same request again"}
	}
	switch {
	case errors.Is(err, store.ErrLocked):
		return http.StatusConflict, ErrorDetail{Code: api.Code(codeLocked), Message: "a management lock forbids changing the network security group; remove the lock and send the request again"}
	case errors.Is(err, store.ErrForbidden):
		return http.StatusBadGateway, ErrorDetail{Code: api.Code(codeForbidden), Message: "the app's own identity lacks a permission in Azure; its administrator finds which one in the log under this request id"}
	case errors.Is(err, store.ErrConflict):
		return http.StatusConflict, ErrorDetail{Code: api.Code(store.CodeConcurrent), Message: "somebody else changed the same thing; send the request again"}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return http.StatusServiceUnavailable, ErrorDetail{Code: api.Code(codeTimeout), Message: "the call took too long; send the same request again"}
	}
	return http.StatusInternalServerError, ErrorDetail{Code: api.Code(codeInternal), Message: "an internal error occurred; the log holds it under this request id"}
}
