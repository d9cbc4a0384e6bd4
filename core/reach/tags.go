package reach

import (
	"slices"
	"strings"

	"portcullis/core/jit"
)

// openTags returns the service tags, in lower case, whose addresses strangers send from: machines and code of any customer of Azure, or services
// that connect to whatever any customer names. Microsoft's page on service tags says so of AzureCloud, says that tags alone do not secure
// traffic, and what each is for (learn.microsoft.com/azure/virtual-network/service-tags-overview); the Microsoft Security Response Center says that
// tags are no security boundary (msrc.microsoft.com/blog/2024/06/improved-guidance-for-azure-network-service-tags), on a report by Tenable
// that names the services of the second list. A tag that stands in none of them is not known to let strangers in.
func openTags() []string {
	return []string{
		// Addresses of customers' machines and code.
		"azurecloud", "appservice", "azurecontainerappsservice", "azuredatabricks", "azurespringcloud", "guestandhybridmanagement", "powerplatformplex",
		// Services through which any customer was seen to reach others' addresses.
		"actiongroup", "apimanagement", "applicationinsightsavailability", "azurecontainerregistry", "azuredevops", "azureloadtestinginstancemanagement",
		"azuremachinelearning", "chaosstudio", "datafactory", "logicapps", "videoindexer",
		// Services that connect to what a customer names, by what they are for.
		"azurecognitivesearch", "azureconnectors", "azureeventgrid", "azurefrontdoor.backend", "azuretrafficmanager", "powerqueryonline", "storage",
	}
}

// OpenTag reports whether a service tag stands for addresses that strangers send from: Internet, and those of Azure's services and regions
// that hold any customer's machines or connect to whatever any customer names.
func OpenTag(name string) bool {
	return strings.EqualFold(name, tagInternet) || slices.ContainsFunc(openTags(), func(t string) bool { return tagHolds(t, name) })
}

// tagHolds reports whether a tag holds another: the same one, or one of its regions.
func tagHolds(tag, other string) bool {
	if strings.EqualFold(tag, other) {
		return true
	}
	return len(other) > len(tag) && other[len(tag)] == '.' && strings.EqualFold(other[:len(tag)], tag)
}

// strangers returns the open tags among a rule's sources whose addresses are not known.
func (n Names) strangers(p jit.Peers) []string {
	var out []string
	for _, t := range p.Tags {
		if _, known := n.Tags[strings.ToLower(t)]; !known && OpenTag(t) {
			out = append(out, t)
		}
	}
	return out
}

// anybody reports whether a rule lets in everybody, whoever it is: by any source, by all of a family, or by Internet.
func anybody(p jit.Peers) bool {
	if p.Any || slices.ContainsFunc(p.Tags, func(t string) bool { return strings.EqualFold(t, tagInternet) }) {
		return true
	}
	for _, q := range p.Prefixes {
		if q.Bits() == 0 {
			return true
		}
	}
	return false
}
