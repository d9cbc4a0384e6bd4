package arm

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"portcullis/core/inventory"
	"portcullis/core/jit"
	"portcullis/handlers/api"
	"portcullis/handlers/arrival"
	"portcullis/handlers/query"
	"portcullis/handlers/wire"
)

// Face answers the calls. Every field must be set.
type Face struct {
	Inventory *inventory.Inventory
	// SignIn is where people and applications sign in: the URL of Entra ID, without a tenant.
	SignIn string
	// Audiences are what tokens for this app may be for.
	Audiences []string
}

// The paths, as patterns of the mux where they are constant.
const (
	PathEndpoints = "/api/metadata/endpoints"
	PathTenants   = "/api/tenants"
	pathAll       = "/api/subscriptions"
)

// Has reports whether a path is that of the subscriptions or of one of them: in any case, with at most one slash at the end.
func Has(u *url.URL) bool {
	_, has := subscriptionOf(u)
	return has
}

// subscriptionOf gives the subscription that a path names, "" for all of them.
func subscriptionOf(u *url.URL) (string, bool) {
	path := strings.TrimSuffix(u.Path, "/")
	if len(path) < len(pathAll) || !strings.EqualFold(path[:len(pathAll)], pathAll) {
		return "", false
	}
	id, below := strings.CutPrefix(path[len(pathAll):], "/")
	return id, path[len(pathAll):] == "" || below && id != "" && !strings.Contains(id, "/")
}

// Endpoints says where to sign in and for what: GET /api/metadata/endpoints. Clients ask for it before they have a token, and it
// holds nothing that a refused sign-in would not tell.
func (f Face) Endpoints(w http.ResponseWriter, r *http.Request) error {
	if err := checkVersion(r.URL.Query()); err != nil {
		return err
	}
	// Clients take the first audience for the resource that they want a token for.
	audiences := slices.Clone(f.Audiences)
	slices.SortStableFunc(audiences, func(a, b string) int { return isURI(b) - isURI(a) })
	here := arrival.Scheme(r) + "://" + r.Host
	wire.Write(w, http.StatusOK, api.EndpointsAnswer{Name: "Portcullis", Portal: here + "/api/portal/", ResourceManager: here + "/api", Suffixes: map[string]string{},
		Authentication: api.Authentication{LoginEndpoint: strings.TrimSuffix(f.SignIn, "/"), Audiences: audiences, Tenant: "common", IdentityProvider: "AAD"}})
	return nil
}

func isURI(audience string) int {
	if strings.Contains(audience, "://") {
		return 1
	}
	return 0
}

// tenant is a directory as Resource Manager tells of it, less its name, which is not read.
type tenant struct {
	ID       string `json:"id"`
	TenantID string `json:"tenantId"`
}

// Tenants lists the caller's own directory, the one that his token is from: GET /api/tenants.
func (f Face) Tenants(w http.ResponseWriter, r *http.Request, who jit.Caller) error {
	if err := checkVersion(r.URL.Query()); err != nil {
		return err
	}
	home := tenantOf(who)
	wire.Write(w, http.StatusOK, wire.List[tenant]{Value: []tenant{{ID: "/tenants/" + home, TenantID: home}}})
	return nil
}

func tenantOf(who jit.Caller) string {
	home, _, _ := strings.Cut(who.ID, "/")
	return home
}

// subscription is a subscription as Resource Manager tells of it, less what is not read.
type subscription struct {
	ID                  string   `json:"id"`
	AuthorizationSource string   `json:"authorizationSource"`
	ManagedByTenants    []tenant `json:"managedByTenants"`
	SubscriptionID      string   `json:"subscriptionId"`
	TenantID            string   `json:"tenantId"`
	DisplayName         string   `json:"displayName"`
	State               string   `json:"state"`
}

// shown tells of a subscription. Whoever may read in it is in its own directory: role assignments of others' count for
// nobody (package rbac). Its display name is the id, since its name is not read; clients choose only among those whose state is
// Enabled, which says here that the installation manages it.
func shown(id string, who jit.Caller) subscription {
	return subscription{ID: "/subscriptions/" + id, AuthorizationSource: "RoleBased", ManagedByTenants: []tenant{}, SubscriptionID: id,
		TenantID: tenantOf(who), DisplayName: id, State: "Enabled"}
}

// Subscriptions lists the subscriptions, or shows one of them, by a path that the face has: GET /api/subscriptions[/{id}].
// Who may read nothing in a subscription is told the same as of one that does not exist.
func (f Face) Subscriptions(w http.ResponseWriter, r *http.Request, who jit.Caller) error {
	if r.Method != http.MethodGet {
		return wire.NotAllowed(w.Header(), r, http.MethodGet)
	}
	if err := checkVersion(r.URL.Query()); err != nil {
		return err
	}
	id, _ := subscriptionOf(r.URL)
	if id == "" {
		all, err := f.Inventory.SubscriptionsOf(r.Context(), who)
		if err != nil {
			return err
		}
		page := wire.List[subscription]{Value: []subscription{}}
		for _, id := range all {
			page.Value = append(page.Value, shown(id, who))
		}
		wire.Write(w, http.StatusOK, page)
		return nil
	}
	if !jit.ValidGUID(id) {
		return &jit.Error{Code: wire.CodeInvalidSubscription, Target: "subscriptionId", Message: "the subscription id is not a GUID"}
	}
	sees, err := f.Inventory.Sees(r.Context(), who, id)
	if err != nil {
		return err
	}
	if !sees {
		return wire.SubscriptionNotFound(id)
	}
	wire.Write(w, http.StatusOK, shown(strings.ToLower(id), who))
	return nil
}

// version is the form of an api-version. The shapes that are answered are the same in every version that clients send.
var version = regexp.MustCompile(`^20[0-9]{2}-[0-9]{2}-[0-9]{2}(-preview)?$`)

// checkVersion refuses a call that names no api-version, as Resource Manager does.
func checkVersion(q url.Values) error {
	v, ok := query.Fold(q, nameVersion)
	if !ok {
		return &jit.Error{Code: wire.CodeMissingVersion, Target: nameVersion, Message: "the api-version query parameter (?api-version=) is required for all requests; send " + usual}
	}
	if !version.MatchString(strings.ToLower(v)) {
		return &jit.Error{Code: wire.CodeInvalidVersion, Target: nameVersion, Message: fmt.Sprintf("the api-version %.50q is not a date such as %s", v, usual)}
	}
	return nil
}

const (
	nameVersion = "api-version"
	usual       = "2022-12-01"
)
