// Package entity is the entities of a table of Azure Table Storage: how one holds a document and the columns that filters
// use ([Row], [Stored]), how they are found ([Where], [Page]), and how they are written in entity group transactions ([Op],
// [Owned]), within the service's limits.
//
// It promises that a write goes by the ETag of the row that decides, never by "*"; that a transaction whose answer was lost is told
// from one that met another writer; and that errors come out in the words of core/store.
//
// It does not know what is stored: see infra/table for the layout.
package entity
