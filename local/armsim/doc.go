// Package armsim is an Azure Resource Manager (ARM) for one machine: the part of Microsoft.Network that just-in-time
// access needs, as a server that the unmodified armnetwork clients and their pollers talk to.
//
// # Faithful to
//
//   - ids in any case, kept as they were first spelled; {"error":{"code","message"}} with x-ms-error-code; the api-version
//     and the bearer token that every call needs; request and correlation ids.
//   - GET, PUT, DELETE and paged lists of networkSecurityGroups and securityRules, networkInterfaces, virtualNetworks,
//     publicIPAddresses, routeTables, azureFirewalls; GET and lists of subnets; management locks at any scope; resource
//     groups; GET .../resources of a subscription or a group, with a resourceType filter.
//   - GET of a resource provider at a subscription: whether it is registered (Knobs.Providers), and nothing else of it.
//   - POST virtualNetworks/{name}/listNetworkManagerEffectiveSecurityAdminRules, paged by a token in the body: what
//     Knobs.AdminRules holds. Nobody's packets are held to them.
//   - An NSG's etag is that of all its rules. If-Match on the PUT of an NSG is honoured at once, with 412; an etag in the
//     body is ignored. The etag changes when a write starts and again when it ends.
//   - A PUT of an NSG replaces rules and tags. Properties that only the service writes are ignored when sent; unknown
//     ones are kept. A refused write changes nothing.
//   - A firewall with classic rules is one document with one etag, replaced by one PUT: a long-running operation, during which
//     a second write can be refused (409 AnotherOperationInProgress). Its collections have unique names and, in each kind,
//     unique priorities from 100 to 65000; its NAT rules are Dnat, TCP or UDP, IPv4, to an address of the firewall, with a
//     translated address and port; public addresses and unique destinations are 250 at most. Private addresses are the service's.
//   - Writes are long-running operations, followed by Azure-AsyncOperation or, for deletes, Location as well.
//   - Validation of rules: names, priorities, enumerations, ports, prefixes, families, overlaps in a list, and the limits
//     of 1000 rules and 4000 addresses.
//   - CanNotDelete locks refuse the DELETE of a rule but not a PUT of its NSG without the rule; ReadOnly refuses both.
//   - Microsoft.Authorization roleAssignments, roleDefinitions and denyAssignments at any scope, with the filters that ARM
//     documents: without atScope() a list holds what is at, above and below the scope; assignedTo() finds what is assigned
//     to groups, through other groups too.
//   - The token buckets of ARM and the limit of the network provider, with Retry-After.
//
// # Under the control of [Knobs]
//
// How long a write takes, whether its answer is Updating or Succeeded, what happens to a second write meanwhile, failures
// before, after and during a write, throttling, missing permissions, and an ARM that is down. People reach them at
// GET and PUT /local/knobs, and what was asked so far at GET /local/counts.
//
// [Server.Walk] says how a packet fares in what is in effect, firewall and security groups together; people ask at GET
// /local/walk?from=203.0.113.7&to=203.0.113.20:50022.
//
// Time is Config.Now: operations end when somebody looks after their end. No goroutine runs.
//
// # Leaves out
//
// Everything else of ARM. In particular: resource groups appear with their first resource, and the delete of one ends at once;
// subscriptions exist as soon as they are named; property names are matched with their case, which ARM does not mind;
// references between resources are not checked, except that an NSG in use cannot be deleted; writes other than those of
// NSGs, rules and firewalls end at once; of a firewall: firewall policies and hubs (their id is all there is), what network and
// application rules hold, IP groups, deallocation, the permissions to join addresses and subnets; PATCH, subnet writes, effective rules, policy, tenant limits, If-None-Match, differences
// between API versions, and application security groups as resources. Role and deny assignments are kept and listed, and
// nobody is held to them: what a caller may do is all but what Knobs denies. Every subscription is in every management group.
//
// # Unverified against the live service
//
// The order of checks in a PUT. Which way ARM takes a second write today. What GET shows of a failed write (here: the
// wanted rules and Failed) and of a rule under deletion (here: it is gone at once). If-Match of a rule write (here:
// ignored) and of an NSG that does not exist (here: 412). The shape of the network provider's window, the page size, the
// code of a throttled call. Whether ports count towards the limit of 4000 (here: each of the four lists by itself).
// Whether assignedTo() shows a deny assignment to everybody (here: it does not) or one that excludes whom it asks for (here:
// it does), and the codes and statuses of refused role assignments and definitions but RoleAssignmentExists.
// Of firewalls: whether If-Match is honoured (here: as for NSGs), every error code, whether names are unique over all kinds of
// collection and priorities within one, whether an empty NAT rule collection is refused, ranges as destination ports, whether
// the limit of 250 is checked in a PUT, Retry-After.
// What the list of effective security admin rules answers beyond the SDK's model: paging, errors, default rules.
// Whether bits below a prefix's mask, and the spelling of enumerations in any case, are accepted (here: they are). The
// codes SecurityRuleInvalidDescription, SecurityRuleInvalidDirection, SecurityRuleInvalidProtocol,
// SecurityRuleParameterCannotHaveBothValues, SecurityRuleParameterValueMissing,
// SecurityRuleInvalidApplicationSecurityGroups, DuplicateResourceName, and the code for mixed address families.
package armsim
