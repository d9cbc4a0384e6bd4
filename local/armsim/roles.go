package armsim

import (
	"encoding/json"
	"slices"

	"portcullis/local/issuer"
)

// Names of role definitions. Those of built-in roles are Azure's own, the same in every directory; source: the built-in
// roles in Azure's documentation.
const (
	Owner          = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
	Contributor    = "b24988ac-6180-42a0-ab88-20f7382dd24c"
	Reader         = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
	SecurityReader = "39bc4728-0917-49c7-9d2c-d95423bc2eb4"
	SecurityAdmin  = "fb1c8493-542b-48eb-b624-b4c8fea62acd"
	// Requester is the custom role of who may ask for access and nothing else.
	Requester = "00000000-0000-0000-0000-0000000000d1"
	// AppRole is the custom role of the app's own identity.
	AppRole = "00000000-0000-0000-0000-0000000000d2"
)

// The groups of the demo: the persona requester is on call, and who is on call may ask for access.
const (
	OnCallGroup     = "00000000-0000-0000-0000-0000000000b1"
	RequestersGroup = "00000000-0000-0000-0000-0000000000b2"
)

const builtInRole = "BuiltInRole"

// DemoGroups returns who is in which groups, as Config.Groups takes it.
func DemoGroups() map[string][]string {
	return map[string][]string{personaID("requester"): {OnCallGroup}, OnCallGroup: {RequestersGroup}}
}

func personaID(name string) string {
	people := issuer.Personas()
	i := slices.IndexFunc(people, func(p issuer.Persona) bool { return p.Name == name })
	return people[max(i, 0)].ObjectID
}

// DemoAccess returns the role definitions, and what the personas and the app may do in the demo subscription: reader and
// approver are Reader, requester has the least that asking for access needs, through groups, admin is Owner. The actions of built-in roles
// are Azure's where they concern this product; the ones on IoT, support, monitoring and policies are left out.
func DemoAccess() []Resource {
	var e estate
	e.builtIn(Owner, "Owner", []string{"*"}, nil)
	e.builtIn(Contributor, "Contributor", []string{"*"}, []string{
		"Microsoft.Authorization/*/Delete", "Microsoft.Authorization/*/Write", "Microsoft.Authorization/elevateAccess/Action",
		"Microsoft.Blueprint/blueprintAssignments/write", "Microsoft.Blueprint/blueprintAssignments/delete",
		"Microsoft.Compute/galleries/share/action",
	})
	e.builtIn(Reader, "Reader", []string{"*/read"}, nil)
	e.builtIn(SecurityReader, "Security Reader", []string{
		"Microsoft.Authorization/*/read", "Microsoft.Resources/deployments/*/read",
		"Microsoft.Resources/subscriptions/resourceGroups/read", "Microsoft.Security/*/read", "Microsoft.Management/managementGroups/read",
	}, nil)
	e.builtIn(SecurityAdmin, "Security Admin", []string{
		"Microsoft.Authorization/*/read", "Microsoft.Resources/deployments/*",
		"Microsoft.Resources/subscriptions/resourceGroups/read", "Microsoft.Security/*", "Microsoft.Management/managementGroups/read",
	}, nil)
	e.custom(Requester, "Portcullis Requester",
		"Microsoft.Security/locations/jitNetworkAccessPolicies/read", "Microsoft.Security/locations/jitNetworkAccessPolicies/initiate/action",
		"Microsoft.Compute/virtualMachines/read")
	e.custom(AppRole, "Portcullis App", appActions()...)
	e.assign("00000000-0000-0000-0000-0000000000f1", Reader, personaID("reader"), "User")
	e.assign("00000000-0000-0000-0000-0000000000f2", Requester, RequestersGroup, "Group")
	e.assign("00000000-0000-0000-0000-0000000000f3", Owner, personaID("admin"), "User")
	e.assign("00000000-0000-0000-0000-0000000000f5", Reader, personaID("approver"), "User")
	e.assign("00000000-0000-0000-0000-0000000000f4", AppRole, issuer.AppObjectID, "ServicePrincipal")
	return e.resources
}

// appActions is what the deployment's templates give the app in a subscription where it may write everywhere, firewalls too.
func appActions() []string {
	return []string{
		"Microsoft.Authorization/denyAssignments/read", "Microsoft.Authorization/roleAssignments/read", "Microsoft.Authorization/roleDefinitions/read",
		"Microsoft.Network/azureFirewalls/read", "Microsoft.Network/locations/operations/read", "Microsoft.Network/networkInterfaces/read",
		"Microsoft.Network/networkSecurityGroups/read", "Microsoft.Network/publicIPAddresses/read", "Microsoft.Network/routeTables/read",
		"Microsoft.Network/virtualNetworks/listNetworkManagerEffectiveSecurityAdminRules/action", "Microsoft.Network/virtualNetworks/read",
		"Microsoft.Resources/subscriptions/providers/read", "Microsoft.Resources/subscriptions/read", "Microsoft.Resources/subscriptions/resourceGroups/read", "Microsoft.Resources/subscriptions/resources/read",
		"Microsoft.Network/applicationSecurityGroups/joinNetworkSecurityRule/action", "Microsoft.Network/networkSecurityGroups/write",
		"Microsoft.Network/azureFirewalls/write", "Microsoft.Network/publicIPAddresses/join/action", "Microsoft.Network/virtualNetworks/subnets/join/action",
	}
}

// Role returns a role definition document.
func Role(name, kind string, actions, notActions, assignable []string) json.RawMessage {
	text, err := json.Marshal(object{"properties": object{
		"roleName": name, "description": name, "type": kind, "assignableScopes": assignable,
		"permissions": []object{{"actions": actions, "notActions": append([]string{}, notActions...), "dataActions": []string{}, "notDataActions": []string{}}},
	}})
	if err != nil {
		return nil // cannot be: all of it is text; Put would refuse it
	}
	return text
}

func (e *estate) builtIn(name, title string, actions, notActions []string) {
	e.resources = append(e.resources, Resource{ID: definitionID("/", name), Document: Role(title, builtInRole, actions, notActions, []string{"/"})})
}

func (e *estate) custom(name, title string, actions ...string) {
	scope := "/subscriptions/" + DemoSubscription
	e.resources = append(e.resources, Resource{ID: definitionID(scope, name), Document: Role(title, "CustomRole", actions, nil, []string{scope})})
}

func (e *estate) assign(name, role, principal, kind string) {
	scope := "/subscriptions/" + DemoSubscription
	e.add(scope+"/providers/"+assignmentType+"/"+name, object{"properties": object{
		"roleDefinitionId": definitionID(scope, role), "principalId": principal, "principalType": kind,
	}})
}
