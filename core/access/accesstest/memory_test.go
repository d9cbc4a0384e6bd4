package accesstest_test

import (
	"testing"

	"portcullis/core/access/accesstest"
)

func TestMemory(t *testing.T) {
	accesstest.TestStore(t, func(*testing.T) accesstest.Store { return accesstest.NewMemory() })
}
