// Package record writes policies, grants and sweeps as the documents that package table stores, and reads them back.
//
// Every document has a format version; one that is not known is an error. What cannot be read is an error, never a guess.
// Field names are part of the format. It knows no table: entities, keys and transactions are those of packages entity and table.
package record
