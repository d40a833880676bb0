package secrets

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"time"
)

const (
	caLifetime     = 10 * 365 * 24 * time.Hour
	serverLifetime = 365 * 24 * time.Hour
	// renewBefore is how long before its end a server certificate is renewed.
	renewBefore = 60 * 24 * time.Hour
)

// Names of the CA's certificate and key in the store.
const (
	caName    = "ca/ca.pem"
	caKeyName = "ca/ca-key.pem"
)

// CAFile is the path of the local CA's certificate, PEM. It is no secret.
func (s *Store) CAFile() string { return folder(s.dir).path(caName) }

// CA returns the local CA's certificate, PEM.
func (s *Store) CA() ([]byte, error) {
	b, err := s.kept.read(caName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNone
	}
	return b, err
}

// ensureCA makes the CA's key and certificate once.
func (s *Store) ensureCA() (made bool, err error) {
	if _, err := s.kept.read(caName); err == nil {
		return false, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return false, err
	}
	template, err := newCertificate("DataMeesh local CA", caLifetime)
	if err != nil {
		return false, err
	}
	template.IsCA = true
	template.BasicConstraintsValid = true
	template.MaxPathLenZero = true // it signs servers, no further CA
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return false, err
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return false, err
	}
	// The certificate comes second: a CA whose key was never written must not
	// be trusted by anybody.
	if _, err := s.kept.replace(caKeyName, keyPEM); err != nil {
		return false, err
	}
	if _, err := s.kept.replace(caName, encodeCertificate(cert)); err != nil {
		return false, err
	}
	return true, nil
}

// WriteServerCertificate writes a private key and a certificate for it, signed
// by the local CA for localhost, 127.0.0.1 and ::1, as one PEM file: what Trino
// takes as its keystore. A file that will serve for a while stays as it is.
func (s *Store) WriteServerCertificate(path string) (changed bool, err error) {
	return s.writeServerCertificate(path, time.Now())
}

func (s *Store) writeServerCertificate(path string, now time.Time) (changed bool, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("write server certificate: %w", err)
		}
	}()
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	content, err := s.serverCertificate(old, nil, now)
	if err != nil {
		return false, err
	}
	return replaceFile(path, content)
}

// ServerCertificate makes a private key and a certificate for it, signed by the
// CA for this machine and further host names, as one PEM text: what Trino takes
// as its keystore. old is what it was before; it stays while it will serve.
func (s *Store) ServerCertificate(old []byte, hosts ...string) ([]byte, error) {
	content, err := s.serverCertificate(old, hosts, time.Now())
	if err != nil {
		return nil, fmt.Errorf("server certificate: %w", err)
	}
	return content, nil
}

func (s *Store) serverCertificate(old []byte, hosts []string, now time.Time) ([]byte, error) {
	ca, caKey, err := s.loadCA()
	if err != nil {
		return nil, err
	}
	if usable(old, ca, hosts, now.Add(renewBefore)) {
		return old, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template, err := newCertificate("localhost", serverLifetime)
	if err != nil {
		return nil, err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	template.DNSNames = append([]string{"localhost"}, hosts...)
	template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	cert, err := x509.CreateCertificate(rand.Reader, template, ca, key.Public(), caKey)
	if err != nil {
		return nil, err
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	return append(keyPEM, encodeCertificate(cert)...), nil
}

// usable tells whether a key + certificate PEM will still be accepted at a
// moment by those who trust the CA.
func usable(keyAndCert []byte, ca *x509.Certificate, hosts []string, at time.Time) bool {
	_, rest := pem.Decode(keyAndCert)
	block, _ := pem.Decode(rest)
	if block == nil {
		return false
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return false
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	for _, name := range append([]string{"localhost", "127.0.0.1", "::1"}, hosts...) {
		if _, err := cert.Verify(x509.VerifyOptions{DNSName: name, Roots: roots, CurrentTime: at}); err != nil {
			return false
		}
	}
	return true
}

func (s *Store) loadCA() (*x509.Certificate, *ecdsa.PrivateKey, error) {
	certPEM, err := s.CA()
	if err != nil {
		return nil, nil, err
	}
	keyPEM, err := s.kept.read(caKeyName)
	if err != nil {
		return nil, nil, err
	}
	certBlock, _ := pem.Decode(certPEM)
	keyBlock, _ := pem.Decode(keyPEM)
	if certBlock == nil || keyBlock == nil {
		return nil, nil, fmt.Errorf("%s or its key is not PEM; remove the folder and run \"meesh up\"", s.CAFile())
	}
	cert, err := x509.ParseCertificate(certBlock.Bytes)
	if err != nil {
		return nil, nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(keyBlock.Bytes)
	if err != nil {
		return nil, nil, err
	}
	ecKey, ok := key.(*ecdsa.PrivateKey)
	if !ok || !ecKey.PublicKey.Equal(cert.PublicKey) {
		return nil, nil, fmt.Errorf("%s does not belong to its key; remove the folder and run \"meesh up\"", s.CAFile())
	}
	return cert, ecKey, nil
}

func newCertificate(name string, lifetime time.Duration) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name, Organization: []string{"DataMeesh"}},
		NotBefore:    now.Add(-5 * time.Minute), // clocks differ
		NotAfter:     now.Add(lifetime),
	}, nil
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func encodeCertificate(der []byte) []byte {
	var b bytes.Buffer
	// Writing to memory does not fail.
	_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	return b.Bytes()
}
