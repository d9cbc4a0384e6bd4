//go:build linux || windows || (darwin && cgo)

package signin

import (
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity/cache"
)

// remembered gives MSAL's cache on this machine: encrypted for the person, by the system's own means.
func remembered() (azidentity.Cache, error) {
	return cache.New(&cache.Options{Name: "portcullis"})
}
