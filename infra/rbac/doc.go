// Package rbac knows from Azure RBAC what a caller may do: it implements
// [permit.Authority] with the armauthorization clients of the Azure SDK, so that
// Portcullis has no permission system of its own.
//
// # What is read
//
// For a caller and a subscription: the role assignments of the caller, through groups too, with
// the filter assignedTo(), and every deny assignment of the subscription, because it is not
// documented whether assignedTo() shows those to everybody. A list at a subscription holds what was
// assigned at it, above it and below it, so that two lists serve any number of machines.
// Then the definition of each role that bears on a machine asked for and, where a deny assignment that bears
// on it names others than the caller, who may be groups, the list of the caller's own.
// The app's own identity needs Microsoft.Authorization/roleAssignments/read,
// roleDefinitions/read and denyAssignments/read.
//
// # How it is judged
//
// An action is permitted where a role assignment that covers the scope has a role with
// a permission whose actions match it and whose notActions do not. Each role is judged
// by itself: the notActions of one take nothing from another. A deny assignment
// that covers the scope and matches wins over every role. Actions are compared
// without regard to case, and * stands for any text, slashes included,
// anywhere in the action. Scopes are compared segment by segment, as ids are.
//
// On doubt nothing is permitted: a role assignment with a condition, with an unknown
// role or at a scope of no known form grants nothing, a deny assignment with a condition or
// at such a scope denies, and so does one that excludes only groups that the caller
// may be in: who is in them is not asked. What cannot be read is an error, never a permission.
//
// # How long it is remembered
//
// An answer that permits for [Life] from when it was asked for; one that refuses for [RefusalLife],
// after which what the refusal comes from is asked for again, since who was just given a role
// asks at once. While ARM does not answer, a refusal stands for as long as a permission. Memory is
// bounded; that the app itself may not ask for [ForbiddenLife], any other error not at all.
// Many who ask for the same thing at once cause one call.
//
// # What it does not do
//
// It does not know data actions, eligible assignments of Privileged Identity Management
// that are not active, classic administrators, or Azure Lighthouse. It does not verify
// callers. API version 2022-04-01 does not say whether a deny assignment is only for
// audit, so every one is taken as enforced.
//
// Unverified against the live service: that assignedTo() at a subscription shows
// assignments below it, as is documented for principalId. If not, those grant nothing.
package rbac
