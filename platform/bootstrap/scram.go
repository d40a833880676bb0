package bootstrap

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
)

// scramIterations is what PostgreSQL itself uses.
const scramIterations = 4096

// newVerifier makes what PostgreSQL keeps of a password (RFC 5803):
// SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey. The passwords of the mesh
// are ASCII, for which SASLprep changes nothing.
func newVerifier(password string) (string, error) {
	salt := make([]byte, 16)
	if _, err := rand.Read(salt); err != nil {
		return "", err
	}
	return verifier(password, salt, scramIterations)
}

func verifier(password string, salt []byte, iterations int) (string, error) {
	salted, err := pbkdf2.Key(sha256.New, password, salt, iterations, sha256.Size)
	if err != nil {
		return "", err
	}
	mac := func(text string) []byte {
		h := hmac.New(sha256.New, salted)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	storedKey := sha256.Sum256(mac("Client Key"))
	encode := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", iterations, encode(salt), encode(storedKey[:]), encode(mac("Server Key"))), nil
}

// verifies tells whether a verifier was made from the password. One in another
// format was not made by us and is replaced.
func verifies(stored, password string) bool {
	rest, ok := strings.CutPrefix(stored, "SCRAM-SHA-256$")
	if !ok {
		return false
	}
	rest, _, _ = strings.Cut(rest, "$")
	count, encoded, _ := strings.Cut(rest, ":")
	iterations, err := strconv.Atoi(count)
	if err != nil || iterations < 1 {
		return false
	}
	salt, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return false
	}
	want, err := verifier(password, salt, iterations)
	return err == nil && subtle.ConstantTimeCompare([]byte(stored), []byte(want)) == 1
}
