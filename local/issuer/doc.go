// Package issuer is a token issuer for one machine: it answers the calls that the product and the Azure SDKs make to
// Microsoft Entra ID and to the managed identity endpoint of App Service, and checks the tokens for the other stand-ins.
//
// Faithful to: OpenID Connect discovery and the JSON web key set under a tenant's v2.0 authority; RS256 signatures with a
// key id; the v2 claims iss, aud, tid, oid, sub, preferred_username, name, ver, iat, nbf, exp and groups, with azp and scp in
// people's access tokens, azp and idtyp in those of the managed identity, and a nonce in ID tokens, which have none of these;
// the App Service managed identity protocol of api-version 2019-08-01, as azidentity's ManagedIdentityCredential speaks it.
//
// An application signs in with a secret, any of them (client_credentials), by the object id of a persona as its client id.
//
// Leaves out: every other sign-in flow (a persona's token is asked for by name, at POST /local/token, with other claims where the body
// names some), refresh tokens, consent,
// conditional access, key rotation, the groups overage claim, app roles; the aud of an ID token, in Azure the app's client id,
// is that of access tokens. Azure signs managed identity tokens for ARM, Storage and
// Service Bus with v1 claims (iss https://sts.windows.net/{tid}/, ver 1.0); here they are v2 like all others. Error codes
// of the managed identity endpoint are unverified, only the status is relied upon by the SDK.
//
// This is a development tool. Whoever can reach it can be anyone: it must listen on the loopback interface only, and it
// refuses requests whose Host is not a loopback name, so that a web page cannot reach it through DNS rebinding.
package issuer
