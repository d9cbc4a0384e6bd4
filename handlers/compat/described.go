package compat

import (
	"net/http"
	"strings"

	"portcullis/handlers/openapi"
	"portcullis/handlers/query"
	"portcullis/handlers/wire"
)

func versionParameter() query.Parameter {
	return query.Parameter{Name: "api-version", Required: true, Says: strings.Join(Versions, " or ")}
}

func skipParameter() query.Parameter {
	return query.Parameter{Name: skipToken, Says: "where the page begins: from a nextLink"}
}

// Described tells of every operation, for the OpenAPI document.
func Described() []openapi.Operation {
	var out []openapi.Operation
	for _, op := range operations() {
		out = append(out, describe(op))
	}
	return out
}

// Parameters are the query parameters that count; clients may send others.
func Parameters() []query.Parameter {
	return []query.Parameter{versionParameter(), skipParameter()}
}

// describe tells of an operation of the compatible face, whose published definition is Microsoft's.
func describe(op operation) openapi.Operation {
	d := openapi.Operation{Method: op.method, Path: op.template, ID: op.id, Query: []query.Parameter{versionParameter()}, Statuses: []int{http.StatusOK}}
	switch {
	case op.method == http.MethodPut:
		d.Summary, d.Body, d.Answer, d.Headers = "Replace a policy: virtual machines that the body does not name are disabled, unless appendMode is true", putBody{}, policy{}, []string{"If-Match", "If-None-Match"}
	case op.method == http.MethodDelete:
		d.Summary, d.Statuses, d.Headers = "Disable every virtual machine of a policy, and remove it; 204 where there is none", []int{http.StatusOK, http.StatusNoContent}, []string{"If-Match"}
	case op.method == http.MethodPost:
		d.Summary, d.Body, d.Answer, d.Statuses = "Open ports for a while", initiateBody{}, request{}, []int{http.StatusAccepted}
	case strings.HasSuffix(op.template, "{"+paramName+"}"):
		d.Summary, d.Answer = "Show a policy as it was sent, with requests of seven days, at most 100", policy{}
	default:
		d.Summary, d.Answer = "List policies", wire.List[policy]{}
		d.Query = append(d.Query, skipParameter())
	}
	return d
}
