// Package document knows how Azure Resource Manager writes a network security group: the group, its rules, and the
// security admin rules of Azure Virtual Network Manager. It is the only place that does.
//
// A group's text is kept as it came. [Edit] replaces rules of ours in it and nothing else, and refuses where it cannot
// prove that. What is not understood of a rule is taken for the widest meaning ([DecodeRule]).
//
// It sends and asks for nothing: package nsg does.
package document
