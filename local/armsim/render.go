package armsim

import (
	"maps"
	"slices"
	"strings"
)

// readOnlyProperties are the properties that only the service writes; a client's are dropped.
func readOnlyProperties() []string {
	return []string{"provisioningState", "resourceGuid", "defaultSecurityRules", "networkInterfaces", "flowLogs"}
}

// strip drops the read-only properties of a document and of its rules or subnets.
func strip(doc map[string]any) {
	for _, name := range []string{"id", "type", "etag", "name"} {
		delete(doc, name)
	}
	p, _ := doc["properties"].(map[string]any)
	for _, name := range readOnlyProperties() {
		delete(p, name)
	}
	for _, list := range []string{"securityRules", "subnets"} {
		for _, item := range items(doc, list) {
			name, named := item["name"]
			strip(item)
			if named {
				item["name"] = name
			}
		}
	}
	if slices.ContainsFunc(collectionLists(), func(list string) bool { return p[list] != nil }) {
		stripFirewall(doc)
	}
}

// items returns the objects of the list properties.{name}; what is not an object comes as an empty one.
func items(doc map[string]any, name string) []map[string]any {
	raw := listOf(doc, name)
	out := make([]map[string]any, len(raw))
	for i, e := range raw {
		if out[i], _ = e.(map[string]any); out[i] == nil {
			out[i] = map[string]any{}
		}
	}
	return out
}

func listOf(doc map[string]any, name string) []any {
	p, _ := doc["properties"].(map[string]any)
	l, _ := p[name].([]any)
	return l
}

// editable copies a document as far as its list properties.{name} can be changed and its items replaced: the items
// themselves, of which there may be a thousand, are shared and stay as they are.
func editable(doc map[string]any, name string) (map[string]any, []any) {
	out := maps.Clone(doc)
	p, _ := doc["properties"].(map[string]any)
	if p != nil {
		out["properties"] = maps.Clone(p)
	}
	return out, slices.Clone(listOf(doc, name))
}

func setProperty(doc map[string]any, name string, value any) {
	p, _ := doc["properties"].(map[string]any)
	if p == nil {
		p = map[string]any{}
		doc["properties"] = p
	}
	p[name] = value
}

// render returns the document as ARM shows it. Nothing in it is shared with the state.
func (s *Server) render(r *resource, stored map[string]any) map[string]any {
	doc := clone(stored)
	doc["id"], doc["name"], doc["type"] = r.ID, lastSegment(r.ID), r.Type
	if strings.HasPrefix(r.Type, "Microsoft.Network/") {
		doc["etag"] = r.ETag
	}
	if slices.Contains(rbacTypes(), r.Type) {
		renderRBAC(r, doc)
	}
	if strings.HasPrefix(r.Type, "Microsoft.Authorization/") || strings.HasPrefix(r.Type, "Microsoft.Classic") {
		return doc
	}
	setProperty(doc, "provisioningState", r.State)
	if r.GUID != "" {
		setProperty(doc, "resourceGuid", r.GUID)
	}
	switch r.Type {
	case nsgType:
		s.renderNSG(r, doc)
	case firewallType:
		renderFirewall(r, doc)
	case "Microsoft.Network/routeTables":
		renderChildren(r, doc, "routes")
	case "Microsoft.Network/virtualNetworks":
		renderChildren(r, doc, "subnets")
	case "Microsoft.Network/networkInterfaces":
		renderChildren(r, doc, "ipConfigurations")
	}
	return doc
}

func (s *Server) renderNSG(r *resource, doc map[string]any) {
	if listOf(doc, "securityRules") == nil {
		setProperty(doc, "securityRules", []any{})
	}
	renderChildren(r, doc, "securityRules")
	for _, rule := range items(doc, "securityRules") {
		p, _ := rule["properties"].(map[string]any)
		for _, name := range []string{"sourcePortRanges", "destinationPortRanges", "sourceAddressPrefixes", "destinationAddressPrefixes"} {
			if p[name] == nil {
				p[name] = []any{} // ARM shows the empty lists
			}
		}
	}
	setProperty(doc, "defaultSecurityRules", defaultRules(r))
	refs := s.references(key(r.ID))
	if len(refs.nics) > 0 {
		setProperty(doc, "networkInterfaces", idList(refs.nics))
	}
	delete(doc["properties"].(map[string]any), "subnets")
	if len(refs.subnets) > 0 {
		setProperty(doc, "subnets", idList(refs.subnets))
	}
}

// renderChildren gives each child its id, type, state and the etag of its parent.
func renderChildren(r *resource, doc map[string]any, list string) {
	for _, item := range items(doc, list) {
		name, _ := item["name"].(string)
		item["id"], item["etag"], item["type"] = r.ID+"/"+list+"/"+name, r.ETag, r.Type+"/"+list
		setProperty(item, "provisioningState", r.State)
	}
}

func idList(ids []string) []any {
	out := make([]any, len(ids))
	for i, id := range ids {
		out[i] = map[string]any{"id": id}
	}
	return out
}

// defaultRules are the six rules that every NSG ends with.
func defaultRules(r *resource) []any {
	rule := func(name, description, direction, access, source, destination string, priority int) any {
		return map[string]any{
			"name": name, "id": r.ID + "/defaultSecurityRules/" + name, "etag": r.ETag,
			"type": nsgType + "/defaultSecurityRules",
			"properties": map[string]any{
				"provisioningState": succeeded, "description": description, "protocol": "*",
				"sourcePortRange": "*", "destinationPortRange": "*",
				"sourceAddressPrefix": source, "destinationAddressPrefix": destination,
				"access": access, "priority": priority, "direction": direction,
				"sourcePortRanges": []any{}, "destinationPortRanges": []any{},
				"sourceAddressPrefixes": []any{}, "destinationAddressPrefixes": []any{},
			},
		}
	}
	return []any{
		rule("AllowVnetInBound", "Allow inbound traffic from all VMs in VNET", "Inbound", "Allow", "VirtualNetwork", "VirtualNetwork", 65000),
		rule("AllowAzureLoadBalancerInBound", "Allow inbound traffic from azure load balancer", "Inbound", "Allow", "AzureLoadBalancer", "*", 65001),
		rule("DenyAllInBound", "Deny all inbound traffic", "Inbound", "Deny", "*", "*", 65500),
		rule("AllowVnetOutBound", "Allow outbound traffic from all VMs to all VMs in VNET", "Outbound", "Allow", "VirtualNetwork", "VirtualNetwork", 65000),
		rule("AllowInternetOutBound", "Allow outbound traffic from all VMs to Internet", "Outbound", "Allow", "*", "Internet", 65001),
		rule("DenyAllOutBound", "Deny all outbound traffic", "Outbound", "Deny", "*", "*", 65500),
	}
}

// references are the ids of what points at an NSG, sorted.
type references struct{ nics, subnets []string }

// references returns who points at the NSG with the key.
func (s *Server) references(nsg string) references {
	if s.refs == nil {
		s.indexReferences()
	}
	return s.refs[nsg]
}

func (s *Server) indexReferences() {
	s.refs = map[string]references{}
	for _, k := range slices.Sorted(maps.Keys(s.resources)) {
		r := s.resources[k]
		switch r.Type {
		case "Microsoft.Network/networkInterfaces":
			if nsg := nsgOf(r.Doc); nsg != "" {
				refs := s.refs[nsg]
				refs.nics = append(refs.nics, r.ID)
				s.refs[nsg] = refs
			}
		case "Microsoft.Network/virtualNetworks":
			for _, subnet := range items(r.Doc, "subnets") {
				if nsg := nsgOf(subnet); nsg != "" {
					name, _ := subnet["name"].(string)
					refs := s.refs[nsg]
					refs.subnets = append(refs.subnets, r.ID+"/subnets/"+name)
					s.refs[nsg] = refs
				}
			}
		}
	}
}

// nsgOf is the key of the NSG that a NIC or subnet names, if any.
func nsgOf(doc map[string]any) string {
	p, _ := doc["properties"].(map[string]any)
	ref, _ := p["networkSecurityGroup"].(map[string]any)
	id, _ := ref["id"].(string)
	return key(id)
}
