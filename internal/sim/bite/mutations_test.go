package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestMutationsFit fails when a rule that is to be broken does not stand any more where it stood.
func TestMutationsFit(t *testing.T) {
	t.Chdir("../../..") // as with go run, at the root of the module
	for _, m := range mutations {
		_, err := m.overlay(t.TempDir())
		require.NoError(t, err, m.name)
	}
}
