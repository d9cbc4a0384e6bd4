// Package api is the shapes of the plain face's JSON: what calls send and what answers hold. They are written once, for the
// doors (package wire reads and fills them), for the OpenAPI document and for the command line client.
//
// A field's tag api names what the document says beside its type: a shape (wire.Shapes), and whether a body must have it.
// Times are RFC 3339 in UTC, durations ISO 8601. A later version may add members to answers, never to bodies unasked.
package api
