package app

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/actorlog/actorlog/internal/admin"
)

// rereadAfter is how long what was read of files that may change is taken for what they hold.
const rereadAfter = time.Second

// watched is what files hold. They are read anew when somebody asks, at most once per
// rereadAfter; what cannot be used is logged once, and the last that could stays. It is safe for concurrent use.
type watched[T any] struct {
	paths []string
	parse func(texts [][]byte) (T, error)
	log   *zap.Logger

	mu    sync.Mutex
	value T
	texts [][]byte
	asked time.Time
	told  string
}

// watch reads the files for the first time, which must succeed.
func watch[T any](log *zap.Logger, parse func(texts [][]byte) (T, error), paths ...string) (*watched[T], error) {
	w := &watched[T]{paths: paths, parse: parse, log: log}
	if err := w.read(); err != nil {
		return nil, err
	}
	return w, nil
}

// get returns the value of the files as they are, or were a moment ago.
func (w *watched[T]) get() T {
	w.mu.Lock()
	defer w.mu.Unlock()
	if time.Since(w.asked) < rereadAfter {
		return w.value
	}
	switch err := w.read(); {
	case err == nil:
		w.told = ""
	case err.Error() != w.told:
		// Also between the writes of two files that belong together.
		w.told = err.Error()
		w.log.Warn("files that changed are not usable yet; going on with what they held", zap.Strings("files", w.paths), zap.Error(err))
	}
	return w.value
}

func (w *watched[T]) read() error {
	w.asked = time.Now()
	texts := make([][]byte, len(w.paths))
	changed := w.texts == nil
	for i, path := range w.paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		texts[i] = text
		changed = changed || !bytes.Equal(text, w.texts[i])
	}
	if !changed {
		return nil
	}
	value, err := w.parse(texts)
	if err != nil {
		return err
	}
	if w.texts != nil {
		w.log.Info("files were read anew", zap.Strings("files", w.paths))
	}
	w.value, w.texts = value, texts
	return nil
}

// watchCertificate is a certificate and its key, PEM.
func watchCertificate(log *zap.Logger, cert, key, flags string) (*watched[*tls.Certificate], error) {
	w, err := watch(log, func(texts [][]byte) (*tls.Certificate, error) {
		pair, err := tls.X509KeyPair(texts[0], texts[1])
		return &pair, err
	}, cert, key)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", flags, err)
	}
	return w, nil
}

// watchPassword is a password, which a line feed after it is not part of.
func watchPassword(log *zap.Logger, path, flag string) (*watched[string], error) {
	w, err := watch(log, func(texts [][]byte) (string, error) {
		password := strings.TrimRight(string(texts[0]), "\r\n")
		if password == "" {
			return "", errors.New("the file is empty")
		}
		return password, nil
	}, path)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", flag, err)
	}
	return w, nil
}

// watchTokens is admin tokens.
func watchTokens(log *zap.Logger, path string) (*watched[admin.Tokens], error) {
	w, err := watch(log, func(texts [][]byte) (admin.Tokens, error) { return admin.Parse(string(texts[0])) }, path)
	if err != nil {
		return nil, fmt.Errorf("reading --admin-token-file: %w", err)
	}
	return w, nil
}
