package table

import "github.com/Azure/azure-sdk-for-go/sdk/data/aztables"

// OpenWithKey is New with the account's key, which Azurite wants. The product
// knows no keys.
func OpenWithKey(endpoint, account, key string, options Options) (*Store, error) {
	cred, err := aztables.NewSharedKeyCredential(account, key)
	if err != nil {
		return nil, err
	}
	return open(endpoint, options, func(url string, o *aztables.ClientOptions) (*aztables.ServiceClient, error) {
		return aztables.NewServiceClientWithSharedKey(url, cred, o)
	})
}
