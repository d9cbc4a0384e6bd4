package tablesim

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// code is an error code of the service, as x-ms-error-code carries it
// (https://learn.microsoft.com/rest/api/storageservices/table-service-error-codes).
type code string

const (
	codeAtomNotSupported    code = "AtomFormatNotSupported"
	codeDifferentPartitions code = "CommandsInBatchActOnDifferentPartitions"
	codeDuplicateProperties code = "DuplicatePropertiesSpecified"
	codeDuplicateRow        code = "InvalidDuplicateRow"
	codeEntityExists        code = "EntityAlreadyExists"
	codeEntityTooLarge      code = "EntityTooLarge"
	codeForbidden           code = "AuthorizationPermissionMismatch"
	codeBadSignature        code = "AuthenticationFailed"
	codeBadToken            code = "InvalidAuthenticationInfo"
	codeNoAuthentication    code = "NoAuthenticationInformation"
	codeInternal            code = "InternalError"
	codeInvalidInput        code = "InvalidInput"
	codeInvalidName         code = "InvalidResourceName"
	codeInvalidURI          code = "InvalidUri"
	codeKeyTooLarge         code = "KeyValueTooLarge"
	codeMethodNotAllowed    code = "MethodNotAllowed"
	codeMissingHeader       code = "MissingRequiredHeader"
	codeNotImplemented      code = "NotImplemented"
	codeOutOfRange          code = "OutOfRangeInput"
	codePropertiesNeedValue code = "PropertiesNeedValue"
	codeNameInvalid         code = "PropertyNameInvalid"
	codeNameTooLong         code = "PropertyNameTooLong"
	codeValueTooLarge       code = "PropertyValueTooLarge"
	codeBodyTooLarge        code = "RequestBodyTooLarge"
	codeResourceNotFound    code = "ResourceNotFound"
	codeServerBusy          code = "ServerBusy"
	codeTableExists         code = "TableAlreadyExists"
	codeTableNotFound       code = "TableNotFound"
	codeTimedOut            code = "OperationTimedOut"
	codeTooManyProperties   code = "TooManyProperties"
	codeCondition           code = "UpdateConditionNotSatisfied"
)

func (c code) status() int {
	switch c {
	case codeBadToken, codeNoAuthentication:
		return http.StatusUnauthorized
	case codeForbidden, codeBadSignature:
		return http.StatusForbidden
	case codeResourceNotFound, codeTableNotFound:
		return http.StatusNotFound
	case codeMethodNotAllowed:
		return http.StatusMethodNotAllowed
	case codeEntityExists, codeTableExists:
		return http.StatusConflict
	case codeCondition:
		return http.StatusPreconditionFailed
	case codeBodyTooLarge:
		return http.StatusRequestEntityTooLarge
	case codeInternal, codeTimedOut:
		return http.StatusInternalServerError
	case codeAtomNotSupported:
		return http.StatusUnsupportedMediaType
	case codeNotImplemented:
		return http.StatusNotImplemented
	case codeServerBusy:
		return http.StatusServiceUnavailable
	}
	return http.StatusBadRequest
}

func (c code) message() string {
	switch c {
	case codeAtomNotSupported:
		return "Atom format is not supported."
	case codeDifferentPartitions:
		return "All commands in a batch must operate on same entity group."
	case codeDuplicateProperties:
		return "A property is specified more than one time."
	case codeDuplicateRow:
		return "The batch request contains multiple changes with same row key. An entity can appear only once in a batch request."
	case codeEntityExists:
		return "The specified entity already exists."
	case codeEntityTooLarge:
		return "The entity is larger than the maximum size permitted."
	case codeForbidden:
		return "This request is not authorized to perform this operation using this permission."
	case codeBadSignature, codeBadToken, codeNoAuthentication:
		return "Server failed to authenticate the request. Please refer to the information in the www-authenticate header."
	case codeInternal:
		return "Server encountered an internal error. Please try again after some time."
	case codeInvalidName:
		return "The specified resource name contains invalid characters."
	case codeInvalidURI:
		return "The requested URI does not represent any resource on the server."
	case codeKeyTooLarge:
		return "The specified key value exceeds the maximum size permitted."
	case codeMethodNotAllowed:
		return "The requested method is not allowed on the specified resource."
	case codeMissingHeader:
		return "An HTTP header that's mandatory for this request is not specified."
	case codeNotImplemented:
		return "The requested operation is not implemented on the specified resource."
	case codeOutOfRange:
		return "One of the request inputs is out of range."
	case codePropertiesNeedValue:
		return "The values are not specified for all properties in the entity."
	case codeNameInvalid:
		return "The property name is invalid."
	case codeNameTooLong:
		return "The property name exceeds the maximum allowed length."
	case codeValueTooLarge:
		return "The property value exceeds the maximum allowed size (64KB)."
	case codeBodyTooLarge:
		return "The request body is too large and exceeds the maximum permissible limit."
	case codeResourceNotFound:
		return "The specified resource does not exist."
	case codeServerBusy:
		return "The server is busy."
	case codeTableExists:
		return "The table specified already exists."
	case codeTableNotFound:
		return "The table specified does not exist."
	case codeTimedOut:
		return "Operation could not be completed within the specified time."
	case codeTooManyProperties:
		return "The entity contains more properties than allowed."
	case codeCondition:
		return "The update condition specified in the request was not satisfied."
	}
	return "One of the request inputs is not valid."
}

// refusal is an answer of the service that is not success. detail replaces
// the standard message; index is the failing operation of a transaction.
type refusal struct {
	code    code
	detail  string
	index   int
	indexed bool
}

func refuse(c code) error { return &refusal{code: c} }

func invalid(detail string) error { return &refusal{code: codeInvalidInput, detail: detail} }

func (e *refusal) Error() string {
	message := e.detail
	if message == "" {
		message = e.code.message()
	}
	if e.indexed {
		return strconv.Itoa(e.index) + ":" + message
	}
	return message
}

// body is the odata.error document of the refusal.
func (e *refusal) body(requestID string, now time.Time) []byte {
	type text struct {
		Lang  string `json:"lang"`
		Value string `json:"value"`
	}
	type failure struct {
		Code    code `json:"code"`
		Message text `json:"message"`
	}
	value := e.Error() + "\nRequestId:" + requestID + "\nTime:" + now.UTC().Format(stampLayout)
	b, err := json.Marshal(map[string]failure{"odata.error": {e.code, text{"en-US", value}}})
	if err != nil { // strings always encode
		return nil
	}
	return b
}
