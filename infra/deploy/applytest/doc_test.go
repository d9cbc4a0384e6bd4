// Package applytest applies the module with the real azurerm provider against a small
// Resource Manager on loopback (local/deploysim), and looks at what is sent. Mocks show what is
// configured; what the provider makes of it shows here alone.
//
// infra/deploy/check runs it, with the programs that it has:
//
//	go test ./infra/deploy/applytest -args -terraform PROGRAM -providers FOLDER
//
// Most of its minutes are the provider's own waiting: it looks five times in 20 s whether a role assignment stays,
// twelve times in two minutes whether a lock does, and twenty times in more than three whether a role has gone.
package applytest
