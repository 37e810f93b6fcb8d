package sealed

import (
	"bufio"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// keyBytes is the length of all keys: AES-256.
const keyBytes = 32

// Masters are the keys that wrap the keys of actors: the first wraps, all unwrap.
type Masters struct{ keys []master }

type master struct {
	id   string
	aead cipher.AEAD
}

// ParseMasters reads keys of 32 bytes, each in base64 or hexadecimal digits on a line of its own; empty lines and those that begin with # are passed over. The first one
// is used for keys that are made; the others are there so that it can be replaced.
func ParseMasters(text string) (Masters, error) {
	var m Masters
	lines := bufio.NewScanner(strings.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		key, err := hex.DecodeString(line)
		if err != nil || len(key) != keyBytes {
			key, err = base64.StdEncoding.DecodeString(line)
		}
		if err != nil || len(key) != keyBytes {
			// Not what was read: it may be a key with a typing error.
			return Masters{}, fmt.Errorf("line %d is no key of 32 bytes in base64 or hexadecimal digits: make one with `openssl rand -base64 32`", n)
		}
		aead, err := newAEAD(key)
		if err != nil {
			return Masters{}, err
		}
		sum := sha256.Sum256(key)
		m.keys = append(m.keys, master{id: hex.EncodeToString(sum[:8]), aead: aead})
	}
	if len(m.keys) == 0 {
		return Masters{}, errors.New("there is no key: make one with `openssl rand -base64 32`")
	}
	return m, nil
}

// wrap encrypts a key under the first master key, bound to its record key.
func (m *Masters) wrap(key, recordKey []byte) (id string, wrapped []byte) {
	return m.keys[0].id, encrypt(m.keys[0].aead, key, recordKey)
}

func (m *Masters) unwrap(id string, wrapped, recordKey []byte) ([]byte, error) {
	for i := range m.keys {
		if m.keys[i].id == id {
			return decrypt(m.keys[i].aead, wrapped, recordKey)
		}
	}
	return nil, fmt.Errorf("it is wrapped by the master key %s, which was not given: add it to the file of master keys", id)
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// encrypt returns a random nonce and what it encrypts.
func encrypt(aead cipher.AEAD, text, bound []byte) []byte {
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(text)+aead.Overhead())
	_, _ = rand.Read(nonce) // never fails
	return aead.Seal(nonce, nonce, text, bound)
}

var errTampered = errors.New("what is encrypted is not what was written")

func decrypt(aead cipher.AEAD, text, bound []byte) ([]byte, error) {
	n := aead.NonceSize()
	if len(text) < n {
		return nil, errTampered
	}
	plain, err := aead.Open(nil, text[:n], text[n:], bound)
	if err != nil {
		return nil, errTampered
	}
	return plain, nil
}
