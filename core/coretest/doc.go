// Package coretest holds the conformance suites of the ports of packages store and network, and
// references of these ports in memory: whoever implements a port runs the suite of that port and so
// knows that core may build upon it.
//
// A suite is written only against the port and against a small fixture, which
// arranges what the port itself cannot: a target with rules of others on it, a
// writer who comes in between, a failure of the platform. A fixture arranges
// through the platform's own doors and never through the adapter under test.
//
// # What it promises
//
// A suite asks only for what the port's comment promises, tests refusals before
// successes, and leaves nothing running. Every subtest arranges its own world, so
// none depends on another or on their order.
//
// # What it does not do
//
// It does not test how many calls an adapter makes, what stands in a body of its
// platform, or what its errors say: that is for the adapter's own tests.
package coretest
