// Package arm answers what clients of Azure Resource Manager ask before they ask for anything: where to sign in (metadata/endpoints), which
// tenant they are in, and which subscriptions there are. With it `az login` and clients like it work with this app in the place of
// Resource Manager (docs/decisions/041).
//
// A caller is shown the managed subscriptions in which he may read something, and of a subscription no more than that: its name, its
// state in Azure and its quota are not read. Whoever puts it behind a route says who calls.
package arm
