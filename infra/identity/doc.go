// Package identity authenticates callers: it verifies the Microsoft Entra ID token of an HTTP request and returns
// the caller that the token proves. Nothing else in a request identifies anybody: App Service's unsigned
// X-MS-CLIENT-PRINCIPAL headers, a user name in the URL or a function key have no effect.
//
// # What is checked
//
// A token comes from "Authorization: Bearer", or, if that header is absent, from X-MS-TOKEN-AAD-ID-TOKEN, in which
// App Service authentication forwards the ID token of a signed-in person. Authorization takes precedence, and a
// bad Authorization is a refusal, never a reason to read the other header. Authorization accepts only access
// tokens, the other header only ID tokens. Both kinds pass the same checks:
//
//   - at most [MaxToken] bytes, three parts of base64url, no critical header extensions;
//   - signed with RS256 by a key that the token's own issuer publishes under the token's kid;
//   - iss is exactly the v1 or the v2 issuer of a configured tenant, and tid is that same tenant;
//   - aud is one string and a configured audience, byte for byte;
//   - exp, nbf and iat are present and valid within [Skew];
//   - oid is a GUID;
//   - the claims are those of the kind of token that its header accepts (see "Kinds of token");
//   - an access token has one of [Config].Permissions, if there are any.
//
// The token's jku, jwk, x5u and x5c headers are not read: only addresses derived from [Config] are ever fetched.
//
// # Kinds of token
//
// An access token names the client that got it (azp, in version 1 appid) and, for a person, its scopes (scp).
// Without scopes it is an application's own, which names no person or says so (idtyp). An ID token has none of
// these, and may have nonce, at_hash or c_hash, which no access token has. Both may have roles. Doubtful tokens
// are refused: a person's access token without scopes, one with a claim of an ID token, a header typ other than
// JWT (at+jwt in Authorization). A token with cnf is bound to a key whose possession is not checked here, and one
// with events reports a logout or another event: neither is accepted anywhere. docs/decisions/019 says which of
// this is documented and which is not.
//
// # What is taken from where
//
// golang-jwt/jwt, which this module also needs for its tests, checks signatures, encoding and times.
// MicahParks/jwkset, the key parser under MicahParks/keyfunc, reads published keys. This package adds when to
// fetch keys, and what Entra's claims must say. Two obvious alternatives were rejected. The key set of
// coreos/go-oidc fetches keys again for every bad signature, without a limit, so anybody could make the app call
// Entra as often as they like; and its verifier is made for ID tokens with one client id. The refreshing client of
// keyfunc makes callers with an unknown key queue for the rate limiter, up to a minute each, runs a goroutine that
// has to be stopped, and does not distinguish an unknown key from an issuer that is down. Here the latter is
// [store.Unavailable] (response 503) and everything else is [ErrToken] (response 401).
//
// # Keys
//
// Discovery documents and keys are fetched at the first token of an issuer and cached. Keys are fetched again in
// the background after 12 hours and expire after 24 hours without an answer. They are fetched at once when a token
// names an unknown key: one request at a time however many callers wait for it, at most once a minute for each
// issuer, and every five seconds while the issuer does not answer. Verified tokens are not cached: verification
// costs a few tens of microseconds (BenchmarkCaller), against the risk of a cache that outlives a key.
//
// # Facts about Entra ID
//
// From "Access tokens in the Microsoft identity platform" and "Access token claims reference"
// (learn.microsoft.com, entra/identity-platform): a token's version depends on the API's registration
// (accessTokenAcceptedVersion), not on the endpoint; a v1.0 token is verified with the metadata of
// {authority}/{tenant}/.well-known/openid-configuration, a v2.0 token with that of
// {authority}/{tenant}/v2.0/.well-known/openid-configuration; keys are chosen by kid; a key that names an issuer
// (in which {tenantid} stands for any tenant) is valid for that issuer only; keys roll without notice and 24 hours
// are a reasonable refresh interval; oid with tid is the stable identity, while preferred_username, upn and
// unique_name can change and are for display only; scp is present in delegated access tokens only; idtyp is an
// optional claim that says "app" for app-only tokens. Entra's guidance gives no number for clock skew; five
// minutes is the default of Microsoft's own validators (Microsoft.IdentityModel). From "National clouds":
// login.microsoftonline.us is the authority of Azure Government and login.partner.microsoftonline.cn that of Azure
// in China. The hosts of v1 issuers, sts.windows.net for both the public cloud and Azure Government and
// sts.chinacloudapi.cn for China, are observed in Microsoft's own libraries rather than documented; a wrong one
// would make discovery fail, since the document must name the expected issuer. Unverified: that the keys documents
// of the sovereign clouds name their issuers as the public one does, under the authority that was asked. If not,
// their tokens are refused.
//
// # What it leaves out
//
// Authorization: Azure RBAC decides that, using [jit.Caller]'s ID. The scp and roles claims are used only for
// [Config].Permissions. Not supported: signing keys of one application (claims mapping), encrypted tokens,
// continuous access evaluation and revocation before exp (a token stays valid until it expires, usually 60 to 90
// minutes), and personal Microsoft accounts, whose tenant [New] refuses.
package identity
