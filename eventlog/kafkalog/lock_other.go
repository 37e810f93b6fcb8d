//go:build !unix

package kafkalog

import (
	"fmt"
	"os"
	"path/filepath"
)

// lockDir takes no lock here: there is no flock. Two processes on one directory
// usually fail on the port.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "embedded.lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("locking the embedded broker's data directory: %w", err)
	}
	return f, nil
}
