// Package glass is the rule of break-glass: to open without the approval of others, in an emergency.
//
// Who may is said by an app role that nobody has unless it is given, [jit.RoleBreakGlass], beside the rights that every request needs. Such a window
// is short ([Rule.Most]), is told to everybody at once (package tell), and owes a review: somebody else has to write what happened, and until then
// the same person may not break the glass again. A drill does all of this and opens nothing.
//
// The package opens nothing, writes no review, and does not skip the approval: who decides about approval asks [jit.Grant.BreakGlass].
package glass
