// Package topology tells where machines stand: it reads what Azure Resource Manager lists of network interfaces, virtual
// networks, public addresses, firewalls and route tables, in the models of the SDK, and puts it together. A network security
// group guards an address by the interface or by its subnet; a firewall stands before a subnet.
//
// It asks for nothing: package nsg lists. Routes that a gateway learns and those of a virtual hub are not in these lists.
package topology
