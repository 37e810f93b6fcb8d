package tasks

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
)

// Dir is a [Store] in a directory, which is made when it is needed. A file has the name of its checksum. Workers on several machines need
// a store that all of them reach.
type Dir string

// Put implements Store.
func (d Dir) Put(_ context.Context, content []byte) (string, error) {
	sum := sha256.Sum256(content)
	ref := hex.EncodeToString(sum[:])
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return "", fmt.Errorf("making the directory of files: %w", err)
	}
	// Under another name first: whoever finds the name finds all of the content.
	f, err := os.CreateTemp(string(d), "new-*")
	if err != nil {
		return "", fmt.Errorf("writing file %s: %w", ref, err)
	}
	_, err = f.Write(content)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(string(d), ref))
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return "", fmt.Errorf("writing file %s: %w", ref, err)
	}
	return ref, nil
}
