package wire

import (
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestConnParamsAreBounded(t *testing.T) {
	t.Parallel()
	most, tooLong := `"`+strings.Repeat("p", MaxConnParams-2)+`"`, `"`+strings.Repeat("p", MaxConnParams-1)+`"`
	got, err := DecodeConnParams(most)
	require.NoError(t, err)
	require.Equal(t, most, string(got))
	_, err = DecodeConnParams(tooLong)
	require.EqualError(t, err, "actor.invalid_request: connection parameters: 4097 bytes, more than 4096")

	// What counts is what was meant, not how it was escaped.
	escaped := strings.ReplaceAll(url.PathEscape(most), "p", "%70")
	p, err := ParseSubprotocols([]string{"rivet, rivet_conn_params." + escaped})
	require.NoError(t, err)
	require.Equal(t, most, string(p.ConnParams))
	p, err = ParseSubprotocols([]string{"rivet, rivet_conn_params." + url.PathEscape(tooLong) + ", rivet_encoding.cbor"})
	require.ErrorContains(t, err, "4097 bytes")
	require.Equal(t, CBOR, p.Encoding)
}
