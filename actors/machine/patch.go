package machine

import (
	"bytes"
	"encoding/json"
	"fmt"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/wI2L/jsondiff"
)

// Diff returns the RFC 6902 JSON Patch that turns one JSON document into another; nil when
// they are the same document. Numbers are compared as they are written, so that
// integers beyond 2^53 keep their last digit.
func Diff(before, after []byte) ([]byte, error) {
	if bytes.Equal(before, after) {
		return nil, nil
	}
	patch, err := jsondiff.CompareJSON(before, after, jsondiff.UnmarshalFunc(unmarshalExact))
	if err != nil {
		return nil, fmt.Errorf("comparing states: %w", err)
	}
	if len(patch) == 0 {
		return nil, nil
	}
	return json.Marshal(patch)
}

// Patch applies an RFC 6902 JSON Patch to a JSON document.
func Patch(document, patch []byte) ([]byte, error) {
	p, err := jsonpatch.DecodePatch(patch)
	if err != nil {
		return nil, fmt.Errorf("decoding a patch: %w", err)
	}
	after, err := p.Apply(document)
	if err != nil {
		return nil, fmt.Errorf("applying a patch: %w", err)
	}
	return after, nil
}

func unmarshalExact(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	return d.Decode(v)
}
