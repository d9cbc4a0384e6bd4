// Package arrival reads what the platform says of one call: its id, where the caller is, and whether the Functions host itself posts it.
// It is read once, before anything else looks at the call, so that every door has the same reading of it.
//
// Whatever a client can send too is not proof. In proxy mode the host overwrites the
// headers that are read here with one value of its own, whatever the client sent
// (measured on host 4.1045.200); what comes otherwise is not read.
//
// It does not find out who calls.
package arrival
