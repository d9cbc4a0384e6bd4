// Package rbac decides by Azure RBAC what a caller may do: it implements [permit.Authority] with the
// armauthorization clients of the Azure SDK, so that Portcullis has no permission system of its own.
//
// # What is read
//
// For a caller and a subscription: the caller's role assignments, including those through groups, with the filter
// assignedTo(); and every deny assignment of the subscription, because it is not documented whether assignedTo()
// shows those to everybody. A list at a subscription includes what is assigned at it, above it and below it, so
// two lists serve any number of machines. Then the definition of each role that applies to a machine. If a deny
// assignment that applies to it names other principals, which may be groups, also the caller's own list of deny
// assignments. The app's own identity needs Microsoft.Authorization/roleAssignments/read, roleDefinitions/read and
// denyAssignments/read.
//
// # How it is evaluated
//
// An action is permitted if a role assignment that covers the scope has a role with a permission whose actions
// match it and whose notActions do not. Each role is evaluated separately: the notActions of one take nothing from
// another. A deny assignment that covers the scope and matches overrides every role. Actions are compared
// case-insensitively, and * matches any text, including slashes, anywhere in the action. Scopes are compared
// segment by segment, as ids are.
//
// In doubt nothing is permitted: a role assignment with a condition, with an unknown role or at an unparsable
// scope grants nothing. A deny assignment with a condition or at such a scope denies, and so does one whose only
// exclusions are groups that the caller may be in, since group members are not read. What cannot be read is an
// error, never a permission.
//
// # How long it is cached
//
// A permitting answer for [Life] from its request; a refusing one for [RefusalLife], after which the answers
// behind the refusal are read again, since people try at once after getting a role. While ARM does not answer, a
// refusal lasts as long as a permission. That the app itself may not read is cached for [ForbiddenLife], any other
// error not at all. Memory is bounded. Concurrent callers share one call.
//
// # What it does not do
//
// It does not support data actions, eligible assignments of Privileged Identity Management that are not active,
// classic administrators, or Azure Lighthouse. It does not authenticate callers. API version 2022-04-01 does not
// say whether a deny assignment is only for audit, so every one counts as enforced.
//
// Unverified against the live service: that assignedTo() at a subscription shows assignments below it, as is
// documented for principalId. If not, those grant nothing.
package rbac
