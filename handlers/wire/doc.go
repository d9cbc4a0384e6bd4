// Package wire is JSON on the plain face: what calls say, read strictly and within bounds, what answers look like,
// and the one shape and translation of errors. Of a path it says whether it could be read in two ways.
//
// A body is one JSON value of at most 1 MiB, that of a replaced policy of 4. Fields that are not known or stand twice are refused by name, and bounds
// are looked at before any value is understood. Names are those of Microsoft's contract where that has one. Times go
// out in UTC with milliseconds, durations as ISO 8601.
//
// It calls no verb and knows no route, so that both faces stand on it.
package wire
