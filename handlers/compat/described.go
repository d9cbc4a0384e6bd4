package compat

import (
	"net/http"
	"slices"
	"strings"

	"portcullis/handlers/openapi"
	"portcullis/handlers/query"
	"portcullis/handlers/wire"
)

// Tag groups the operations of this face in the OpenAPI document.
const Tag = "Azure clients"

// Bodies that the document shows, of the machine that `make run` has.
const (
	shownVM       = `"id":"/subscriptions/00000000-0000-0000-0000-00000000d3e0/resourceGroups/demo/providers/Microsoft.Compute/virtualMachines/web"`
	shownPolicy   = `{"kind":"Basic","properties":{"virtualMachines":[{` + shownVM + `,"ports":[{"number":22,"protocol":"TCP","allowedSourceAddressPrefix":"*","maxRequestAccessDuration":"PT3H"}]}]}}`
	shownInitiate = `{"virtualMachines":[{` + shownVM + `,"ports":[{"number":22,"duration":"PT1H","allowedSourceAddressPrefix":"203.0.113.7"}]}],"justification":"ticket 4711"}`
)

func versionParameter() query.Parameter {
	return query.Parameter{Name: "api-version", Required: true, Values: Versions, Says: strings.Join(Versions, " or ")}
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
	d := openapi.Operation{Method: op.method, Path: op.template, ID: op.id, Tag: Tag, Query: []query.Parameter{versionParameter()}, Statuses: []int{http.StatusOK},
		Refusals: []int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusServiceUnavailable}}
	changes := append(slices.Clone(d.Refusals), http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusBadGateway)
	edits := append(slices.Clone(changes), http.StatusPreconditionFailed)
	match, none := openapi.Header{Name: "If-Match", Shape: "etag"}, openapi.Header{Name: "If-None-Match", Shape: "etag"}
	switch {
	case op.method == http.MethodPut:
		d.Summary, d.Body, d.Answer, d.Headers = "Replace a policy: virtual machines that the body does not name are disabled, unless appendMode is true", putBody{}, policy{}, []openapi.Header{match, none}
		d.Example, d.Refusals, d.Says = shownPolicy, edits, map[int][]string{http.StatusOK: {"ETag", EndedWindows}}
	case op.method == http.MethodDelete:
		d.Summary, d.Statuses, d.Headers = "Disable every virtual machine of a policy, and remove it; 204 where there is none", []int{http.StatusOK, http.StatusNoContent}, []openapi.Header{match}
		d.Refusals, d.Says = edits, map[int][]string{http.StatusOK: {EndedWindows}}
	case op.method == http.MethodPost:
		d.Summary, d.Body, d.Answer, d.Statuses = "Open ports for a while", initiateBody{}, request{}, []int{http.StatusAccepted}
		d.Example, d.Refusals, d.Says = shownInitiate, changes, map[int][]string{http.StatusAccepted: {EndedWindows}}
	case strings.HasSuffix(op.template, "{"+paramName+"}"):
		d.Summary, d.Answer = "Show a policy as it was sent, with requests of seven days, at most 100", policy{}
		d.Says = map[int][]string{http.StatusOK: {"ETag"}}
	default:
		d.Summary, d.Answer = "List policies", wire.List[policy]{}
		d.Query = append(d.Query, skipParameter())
	}
	return d
}
