package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"portcullis/core/jit"
)

// maxGroupsPerCheck bounds the resource groups that one check examines.
const maxGroupsPerCheck = 500

// ofSubscription returns the checks of a managed subscription.
func (d *Doctor) ofSubscription(sub string) []step {
	return []step{
		{name: CheckReadRole, make: func(ctx context.Context) Check { return d.readRole(ctx, sub) }},
		{name: CheckWriteRole, make: func(ctx context.Context) Check { return d.writeRole(ctx, sub) }},
		{name: CheckFirewallRole, make: func(ctx context.Context) Check { return d.firewallRole(ctx, sub) }},
		{name: CheckProviders, make: func(ctx context.Context) Check { return d.providers(ctx, sub) }},
	}
}

// lacks returns the actions that the app itself does not hold at the scope.
func (d *Doctor) lacks(ctx context.Context, self jit.Caller, scope string, actions []string) ([]string, error) {
	if len(actions) == 0 {
		return nil, errors.New("no action is named: what the app needs is not known")
	}
	var out []string
	for _, action := range actions {
		missing, err := d.Authority.Missing(ctx, self, scope, action)
		if err != nil {
			return nil, err
		}
		if missing != "" {
			out = append(out, action)
		}
	}
	return out, nil
}

// readRole checks what the app has to read, everywhere in the subscription.
func (d *Doctor) readRole(ctx context.Context, sub string) Check {
	self, err := d.Tokens.Self(ctx)
	if err != nil {
		return d.roleUnknown(err)
	}
	missing, err := d.lacks(ctx, self, "/subscriptions/"+sub, d.Actions.Read)
	if err != nil {
		return d.roleUnknown(err)
	}
	if len(missing) > 0 {
		return Check{State: Broken, Seen: "missing at the subscription: " + strings.Join(missing, ", "), Facts: []Fact{identity(self)},
			Advice: grant(self, "/subscriptions/"+sub, "Portcullis App Reader", "managed")}
	}
	return Check{State: OK, Seen: fmt.Sprintf("all %d actions are held at the subscription", len(d.Actions.Read)), Facts: []Fact{identity(self)}}
}

// writeRole checks what the app has to write: at the subscription, or else in the resource groups whose security
// groups are ours.
func (d *Doctor) writeRole(ctx context.Context, sub string) Check {
	self, err := d.Tokens.Self(ctx)
	if err != nil {
		return d.roleUnknown(err)
	}
	missing, err := d.lacks(ctx, self, "/subscriptions/"+sub, d.Actions.Write)
	if err != nil {
		return d.roleUnknown(err)
	}
	if len(missing) == 0 {
		return Check{State: OK, Seen: fmt.Sprintf("all %d actions are held at the subscription", len(d.Actions.Write)), Facts: []Fact{identity(self)}}
	}
	groups, err := d.groups(ctx, sub, jit.TypeNSG)
	if err != nil {
		return d.roleUnknown(err)
	}
	if len(groups) == 0 {
		return Check{State: Unknown, Facts: []Fact{identity(self)},
			Reason: "missing at the subscription as a whole: " + strings.Join(missing, ", ") + "; and no security group there is ours yet, whose resource group could be looked at",
			Advice: "fine where only some resource groups are managed (managed.resource_groups): look again once a machine is protected. Otherwise: " + grant(self, "/subscriptions/"+sub, "Portcullis App Writer", "managed")}
	}
	return d.inGroups(ctx, self, groups, d.Actions.Write, "Portcullis App Writer", "managed.resource_groups")
}

// firewallRole checks what the app has to write where firewalls are ours, and nowhere else.
func (d *Doctor) firewallRole(ctx context.Context, sub string) Check {
	groups, err := d.groups(ctx, sub, jit.TypeFirewall)
	if err != nil {
		return d.roleUnknown(err)
	}
	if len(groups) == 0 {
		return Check{State: OK, Seen: "not needed: no machine behind a firewall is protected here"}
	}
	self, err := d.Tokens.Self(ctx)
	if err != nil {
		return d.roleUnknown(err)
	}
	return d.inGroups(ctx, self, groups, d.Actions.Firewall, "Portcullis App Firewall Writer", "managed.firewall_groups")
}

// inGroups checks what the app holds in resource groups.
func (d *Doctor) inGroups(ctx context.Context, self jit.Caller, groups, actions []string, role, input string) Check {
	looked := groups[:min(len(groups), maxGroupsPerCheck)]
	c := Check{State: OK, Seen: fmt.Sprintf("all %d actions are held in %s", len(actions), plural(len(looked), "resource group", "resource groups")), Facts: []Fact{identity(self)}}
	if len(looked) < len(groups) {
		c.State, c.Seen, c.Reason = Unknown, "", fmt.Sprintf("only %d of %d resource groups were looked at; nothing is missing there", len(looked), len(groups))
	}
	first := ""
	for _, group := range looked {
		missing, err := d.lacks(ctx, self, group, actions)
		if err != nil {
			return d.roleUnknown(err)
		}
		if len(missing) > 0 {
			c.Facts = append(c.Facts, Fact{Name: group, Value: "missing: " + strings.Join(missing, ", ")})
			if first == "" {
				first = group
			}
		}
	}
	if n := len(c.Facts) - 1; n > 0 {
		c.State, c.Reason = Broken, ""
		c.Seen = "something is missing in " + plural(n, "resource group", "resource groups")
		c.Advice = grant(self, first, role, input)
	}
	return c
}

// groups returns the ids of the resource groups of a subscription in which targets of a type are ours, sorted.
func (d *Doctor) groups(ctx context.Context, sub, kind string) ([]string, error) {
	known, err := d.Targets.Known(ctx)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	var out []string
	for _, target := range known {
		id := "/subscriptions/" + strings.ToLower(target.Subscription) + "/resourceGroups/" + strings.ToLower(target.ResourceGroup)
		if strings.EqualFold(target.Subscription, sub) && strings.EqualFold(target.Type, kind) && !seen[id] {
			seen[id] = true
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out, nil
}

func (d *Doctor) roleUnknown(err error) Check {
	return Check{State: Unknown, Reason: why(err), Err: err, Advice: "look at tokens and tableStorage first; if they are ok, at the app's role for reading, which holds Microsoft.Authorization/roleAssignments/read"}
}

// identity returns the app's object id as a fact.
func identity(self jit.Caller) Fact {
	_, oid, _ := strings.Cut(self.ID, "/")
	return Fact{Name: "principalId", Value: oid}
}

// grant says how to assign a missing role. The change shows here once neither the refusal ([portcullis/infra/rbac]
// caches it for 5 s) nor a look is cached.
func grant(self jit.Caller, scope, role, input string) string {
	return fmt.Sprintf("terraform apply gives it (input %s); by hand: az role assignment create --assignee-object-id %s --assignee-principal-type ServicePrincipal --role '%s (...)' --scope %s. It shows here within 15 s of when Azure has it",
		input, identity(self).Value, role, scope)
}
