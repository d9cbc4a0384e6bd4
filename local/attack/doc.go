// Package attack sends what people who are up to no good would send, and holds what must come of it: the threat model's
// attackers (docs/threat-model.md, sections 1 to 3) as one table, so that every release is attacked again. It is tests only:
// `make attack` runs them and prints the figures, `make test` runs them among the others.
//
// # What is attacked
//
// What `make run` starts: the stand-ins and the binary that ships, as processes of their own, with the demands and quotas set
// that an attacker would want to get around. Everything is sent over HTTP to the front door, in the names of somebody with no
// role at all, readers and requesters, of everything or of one machine, and an administrator; tokens come from the stand-in of Entra ID, of every kind.
//
// # What is looked at
//
// The answers. Over HTTP too, what the stand-ins counted: reads of Resource Manager, rows written. The rules of the security
// groups, which no attack may change. And on Linux the resident memory of the handler; elsewhere that is not looked at, and the table says so.
//
// Counts are held; times and ratios of times are printed and not held, since they are the machine's.
//
// # What it leaves out
//
// The attackers who hold the bus, the table, the network or the host (sections 4 to 7): core/sim and the tests of the
// packages have those. Azure's own front end: what it strips and bounds is easyauth's and hostsim's here. Floods that
// would take minutes. The race detector looks at this package alone, since what is attacked are other processes, which are the ones that ship: the load is the same with it.
package attack
