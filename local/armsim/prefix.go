package armsim

import (
	"net/netip"
	"slices"
	"strings"
)

// checkAddresses checks that each side says exactly one of prefix, prefixes and application security groups, that every
// prefix is good, that no prefix of a list lies within another, and that both sides are of one address family.
func (v *ruleCheck) checkAddresses() *Error {
	source, err := v.checkSide("source")
	if err != nil {
		return err
	}
	destination, err := v.checkSide("destination")
	if err != nil {
		return err
	}
	if source != 0 && destination != 0 && source != destination {
		return v.mixed("source and destination")
	}
	return nil
}

func (v *ruleCheck) mixed(where string) *Error {
	// The code is unverified.
	return invalid("SecurityRuleInvalidAddressPrefix", "Security rule %s mixes IPv4 and IPv6 address prefixes in its %s.", v.id, where)
}

// checkSide returns the address family of the side: 4, 6, or 0 when it has none (*, a tag, groups).
func (v *ruleCheck) checkSide(side string) (int, *Error) {
	name := title(side) + "AddressPrefix"
	singular := v.text(side + "AddressPrefix")
	list, err := v.plural(side + "AddressPrefixes")
	if err != nil {
		return 0, err
	}
	groups, err := v.groups(side)
	if err != nil {
		return 0, err
	}
	given := 0
	for _, is := range []bool{singular != "", len(list) > 0, groups > 0} {
		if is {
			given++
		}
	}
	switch {
	case given == 0:
		return 0, invalid("SecurityRuleParameterValueMissing", "Security rule %s must specify %s, %ses or %sApplicationSecurityGroups.", v.id, name, name, title(side))
	case given > 1:
		return 0, invalid("SecurityRuleParameterCannotHaveBothValues", "Security rule %s must specify only one of %s, %ses and %sApplicationSecurityGroups.", v.id, name, name, title(side))
	case groups > 0:
		return 0, nil
	case singular != "":
		v.sums[name+"es"]++
		if singular == "*" || serviceTag(singular) {
			return 0, nil
		}
		list = []string{singular}
	default:
		v.sums[name+"es"] += len(list)
	}
	return v.prefixes(list, name, side)
}

func (v *ruleCheck) prefixes(list []string, name, side string) (int, *Error) {
	parsed := make([]netip.Prefix, 0, len(list))
	for _, text := range list {
		if text == "*" || serviceTag(text) {
			return 0, invalid("SecurityRuleParameterContainsUnsupportedValue", "Security rule parameter %s for rule with Id %s cannot specify existing VIRTUALNETWORK, INTERNET, AZURELOADBALANCER, '*' or system tags. Unsupported value used: %s.", name, v.id, text)
		}
		p, ok := parsePrefix(text)
		if !ok {
			return 0, invalid("SecurityRuleInvalidAddressPrefix", "Security rule %s has invalid Address prefix. Value provided: %s", v.id, text)
		}
		parsed = append(parsed, p)
	}
	for _, p := range parsed {
		if p.Addr().Is4() != parsed[0].Addr().Is4() {
			return 0, v.mixed(side)
		}
	}
	if a, b, ok := overlap(parsed); ok {
		return 0, invalid("OverlappingSubnetsNotPermittedInSecurityRule", "Security rule parameter %s for rule with Id %s cannot specify overlapping subnets. Overlapping subnets: %s, %s.", name, v.id, a, b)
	}
	if parsed[0].Addr().Is4() {
		return 4, nil
	}
	return 6, nil
}

// parsePrefix reads an address or a CIDR. Bits below the mask are accepted and ignored (unverified). An IPv6 zone and an
// IPv4-mapped IPv6 address are refused.
func parsePrefix(text string) (netip.Prefix, bool) {
	if !strings.Contains(text, "/") {
		a, err := netip.ParseAddr(text)
		if err != nil || a.Zone() != "" || a.Is4In6() {
			return netip.Prefix{}, false
		}
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	p, err := netip.ParsePrefix(text)
	if err != nil || p.Addr().Is4In6() {
		return netip.Prefix{}, false
	}
	return p.Masked(), true
}

// overlap returns two prefixes of which one holds the other. All are masked and of one family. Sorted by address, what
// comes between a prefix and one that lies within it lies within it too, so that comparing neighbours is enough.
func overlap(prefixes []netip.Prefix) (a, b netip.Prefix, found bool) {
	sorted := slices.Clone(prefixes)
	slices.SortFunc(sorted, func(x, y netip.Prefix) int { return x.Addr().Compare(y.Addr()) })
	for i := 1; i < len(sorted); i++ {
		if sorted[i-1].Overlaps(sorted[i]) {
			return sorted[i-1], sorted[i], true
		}
	}
	return a, b, false
}

// groups counts the application security groups of a side.
func (v *ruleCheck) groups(side string) (int, *Error) {
	raw, ok := v.p[side+"ApplicationSecurityGroups"]
	if !ok || raw == nil {
		return 0, nil
	}
	list, ok := raw.([]any)
	if !ok || len(list) > maxGroupsInRule {
		return 0, invalid("SecurityRuleInvalidApplicationSecurityGroups", "Security rule %s does not hold a list of at most %d application security groups as its %s.", v.id, maxGroupsInRule, side)
	}
	for _, e := range list {
		group, _ := e.(map[string]any)
		id, _ := group["id"].(string)
		typ, err := typeOf(id)
		if err != nil || !strings.EqualFold(typ, "Microsoft.Network/applicationSecurityGroups") {
			return 0, invalid("LinkedInvalidPropertyId", "Property id '%s' at path 'properties.%sApplicationSecurityGroups' is invalid.", id, side)
		}
	}
	return len(list), nil
}

// serviceTag says whether text is the name of a service tag, such as Internet or Storage.WestEurope. The region after the
// dot is not checked. The list is of the tags that NSG rules take; Azure adds to it.
func serviceTag(text string) bool {
	name, region, regional := strings.Cut(text, ".")
	return oneOf(name, serviceTags()) && (!regional || region != "" && strings.Trim(strings.ToLower(region), "abcdefghijklmnopqrstuvwxyz0123456789") == "")
}

func serviceTags() []string {
	return []string{
		"ActionGroup", "ApiManagement", "AppConfiguration", "AppService", "AppServiceManagement", "AzureActiveDirectory",
		"AzureActiveDirectoryDomainServices", "AzureAdvancedThreatProtection", "AzureArcInfrastructure", "AzureBackup",
		"AzureBotService", "AzureCloud", "AzureCognitiveSearch", "AzureConnectors", "AzureContainerRegistry",
		"AzureCosmosDB", "AzureDatabricks", "AzureDataExplorerManagement", "AzureDataLake", "AzureDevOps",
		"AzureDevSpaces", "AzureDigitalTwins", "AzureEventGrid", "AzureFrontDoor", "AzureHealthcareAPIs",
		"AzureInformationProtection", "AzureIoTHub", "AzureKeyVault", "AzureLoadBalancer", "AzureMachineLearning",
		"AzureMonitor", "AzureOpenDatasets", "AzurePlatformDNS", "AzurePlatformIMDS", "AzurePlatformLKM",
		"AzureResourceManager", "AzureSecurityCenter", "AzureSentinel", "AzureSignalR", "AzureSiteRecovery",
		"AzureSphere", "AzureSpringCloud", "AzureStack", "AzureTrafficManager", "AzureUpdateDelivery", "AzureWebPubSub",
		"BatchNodeManagement", "ChaosStudio", "CognitiveServicesManagement", "DataFactory", "DataFactoryManagement",
		"Dynamics365ForMarketingEmail", "EventHub", "GatewayManager", "GuestAndHybridManagement", "HDInsight",
		"Internet", "LogicApps", "LogicAppsManagement", "M365ManagementActivityApi", "MicrosoftCloudAppSecurity",
		"MicrosoftContainerRegistry", "MicrosoftDefenderForEndpoint", "MicrosoftPurviewPolicyDistribution", "PowerBI",
		"PowerPlatformInfra", "PowerQueryOnline", "SecurityCopilot", "ServiceBus", "ServiceFabric", "Sql",
		"SqlManagement", "Storage", "StorageSyncService", "VirtualDesktop", "VirtualNetwork", "WindowsAdminCenter",
		"WindowsVirtualDesktop",
	}
}
