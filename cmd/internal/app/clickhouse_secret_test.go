package app

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
)

func TestClickHousePasswordFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "password")
	c := ClickHouse{ClickHouse: "127.0.0.1:9000", ClickHouseDatabase: "actorlog", ClickHouseUser: "u", ClickHousePasswordFile: file}
	_, err := c.Open(nil, zap.NewNop())
	require.ErrorContains(t, err, "reading --clickhouse-password-file")
	require.NoError(t, os.WriteFile(file, []byte("\n"), 0o600))
	_, err = c.Open(nil, zap.NewNop())
	require.ErrorContains(t, err, "the file is empty")
	require.NoError(t, os.WriteFile(file, []byte("secret-of-the-database\n"), 0o600))
	db, err := c.Open(nil, zap.NewNop())
	require.NoError(t, err)
	db.Close()
	c.ClickHousePassword = "another"
	_, err = c.Open(nil, zap.NewNop())
	require.ErrorContains(t, err, "exclude each other")
	require.NotContains(t, err.Error(), "secret")
}
