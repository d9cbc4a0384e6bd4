//go:build !(linux || windows || (darwin && cgo))

package signin

import (
	"errors"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

// remembered gives none: MSAL reaches the keychain of macOS only by cgo, with which nobody could build this for another system.
func remembered() (azidentity.Cache, error) {
	return azidentity.Cache{}, errors.New("the keychain cannot be reached by this build")
}
