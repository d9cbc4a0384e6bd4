// Package ocsf writes entries of the activity log as events of the Open Cybersecurity Schema Framework, version 1.8.0 (https://schema.ocsf.io/1.8.0), with its
// profile datetime. Its version is pinned: tests validate every kind of event with the schema in testdata, which is made of the newest version that a
// package with a pinned digest holds (testdata/make; docs/decisions/053).
//
// An entry is an event of the class Entity Management (3004), since what the app manages are policies and windows; where a chain of the log ends is one of the
// class Base Event (0), for which there is no other. What the schema has no attribute for is in unmapped, by the names of [Unmapped].
//
// metadata.uid is the same whenever an event is sent again. Of an entry it is its hash in its chain, which no other entry has, in no other chain, at no other
// place, and after no other history: an entry of a chain that was written anew has another one.
//
// Nothing is added to what the log holds, and long texts are cut ([maxText]). Names, object ids and addresses are personal data.
package ocsf
