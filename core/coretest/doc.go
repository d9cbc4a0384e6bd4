// Package coretest has the conformance suites of the ports of packages store and network, and in-memory references
// of these ports. An adapter that passes the suite of its port can be used by core.
//
// A suite uses only the port and a small fixture, which sets up what the port cannot: a target with foreign rules,
// a concurrent writer, a failure of the platform. A fixture uses the platform's own interfaces and never the
// adapter under test.
//
// # What it promises
//
// A suite demands only what the port's comment promises, tests refusals before successes, and leaves nothing
// running. Every subtest sets up its own world, so none depends on another or on their order.
//
// # What it does not do
//
// It does not test how many calls an adapter makes, the content of a body of its platform, or the texts of its
// errors: the adapter's own tests do.
package coretest
