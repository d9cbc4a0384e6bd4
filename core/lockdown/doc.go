// Package lockdown closes every window in a scope at once (a person's, a machine's, a resource group's, a subscription's, or all), and holds new ones
// there until somebody who may lifts that.
//
// The hold comes first, then what is open is listed, stored and marked: an opening either is in that list, or its own write meets the hold (package
// hold). All is marked before the first target is asked, so that each target is written once. What a crash leaves the sweep completes, from what is
// stored.
//
// It opens nothing, and closes by package round alone.
package lockdown
