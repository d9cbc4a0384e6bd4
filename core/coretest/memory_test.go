package coretest_test

import (
	"testing"

	"portcullis/core/coretest"
)

func TestMemory(t *testing.T) {
	coretest.TestStore(t, func(*testing.T) coretest.Store { return coretest.NewMemory() })
}
