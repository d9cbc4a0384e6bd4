// Package client calls the documented API of an installation, and nothing else. Shapes are those of handlers/api; a test holds every
// operation here to the OpenAPI document.
//
// A call that is not answered is sent again a few times (package azcore): every operation may be repeated, since requests carry an
// Idempotency-Key and the others end in the same state. Errors are a [*Refusal], with the app's own code and words, an
// [*Unreachable], or whatever the credential said.
//
// The token goes to the app's own address alone: nextLink and Location of an answer are taken as paths of it, and no redirect is followed.
package client
