// Package deploysim is a small Azure Resource Manager on loopback for one visitor: Terraform's
// azurerm provider, which signs in to it, registers resource providers, and creates, reads, changes and
// deletes what infra/deploy is made of. What is sent stands in [Server.Calls] word for word.
//
// It is faithful in what an installation stumbles over:
//   - a resource of a namespace that is not registered is refused (MissingSubscriptionRegistration), and so is one
//     whose resource group or parent is not there;
//   - role definitions are unique by id and by name in the tenant, are assigned only below their assignable scopes, and stay
//     while anybody holds them (RoleDefinitionHasAssignments), whoever assigned them;
//   - nobody has the same role twice at one scope (RoleAssignmentExists), and an assignment does not change hands;
//   - a CanNotDelete lock guards everything below it, role assignments and diagnostic settings too (ScopeLocked);
//   - a plan with sites on it and a resource group with resources in it are not deleted;
//   - a template deployment makes its resources in order, with every setting that is sent and none besides.
//
// It leaves out: template functions but parameters(), and reference() to a site's host name, in an output; complete mode;
// validation of bodies, defaults of resources but those that the provider reads; api-versions; permissions of whoever calls, and
// that tokens expire; long-running operations (everything is done when the answer comes); propagation delays; other
// resource types than the module's, which get an error and an entry in [Server.Unknown]. PUT replaces the body whole, where App
// Service keeps some properties that a body leaves out. That locks guard role assignments and diagnostic settings, and that
// a custom role's assignments keep it, are from memory of the documentation.
package deploysim
