package oidctoken

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"

	"github.com/datameesh/datameesh/services/internal/conformance"
	"github.com/datameesh/datameesh/services/internal/problem"
)

// A provider signs tokens and publishes its keys over HTTP.
type provider struct {
	*httptest.Server
	mu   sync.Mutex
	keys map[string]any // private keys by kid
	down bool
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	p := &provider{keys: map[string]any{}}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.down {
			http.Error(w, "<html>", http.StatusBadGateway)
			return
		}
		var set jose.JSONWebKeySet
		for kid, key := range p.keys {
			set.Keys = append(set.Keys, (&jose.JSONWebKey{Key: key, KeyID: kid}).Public())
		}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(set); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *provider) setKeys(keys map[string]any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = keys
}

func rsaKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

type claims map[string]any

func (p *provider) good() claims {
	now := time.Now()
	return claims{"iss": p.URL, "aud": []string{"other", "datameesh"}, "sub": "alex@example.com", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "scope": "openid sales:read"}
}

func sign(t *testing.T, alg jose.SignatureAlgorithm, key any, kid string, c claims) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: key, KeyID: kid}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(text)
	if err != nil {
		t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (c claims) with(name string, value any) claims {
	changed := claims{}
	for k, v := range c {
		changed[k] = v
	}
	if value == nil {
		delete(changed, name)
	} else {
		changed[name] = value
	}
	return changed
}

func status(a *Authorizer, token, scope string) (string, int) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	name, err := a.Authorize(r, scope)
	var p *problem.Problem
	if errors.As(err, &p) {
		return name, p.Status
	}
	return name, 200
}

func newAuthorizer(t *testing.T, p *provider) *Authorizer {
	t.Helper()
	keys := conformance.Keys(t, map[string][]string{"an-api-key": {"sales:read"}})
	return New(context.WithoutCancel(t.Context()), keys, Provider{Issuer: p.URL, Audience: "datameesh", JWKSURL: p.URL + "/jwks"})
}

func TestTokensAreAcceptedOnlyWhenAllIsRight(t *testing.T) {
	p := newProvider(t)
	key, other := rsaKey(t), rsaKey(t)
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p.setKeys(map[string]any{"k1": key, "e1": ec})
	a := newAuthorizer(t, p)
	now := time.Now()

	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})
	good := sign(t, jose.RS256, key, "k1", p.good())
	part := strings.Split(good, ".")
	encode := base64.RawURLEncoding.EncodeToString

	for name, c := range map[string]struct {
		token string
		want  int
	}{
		"good":                      {good, 200},
		"good, ES256":               {sign(t, jose.ES256, ec, "e1", p.good()), 200},
		"another scope":             {sign(t, jose.RS256, key, "k1", p.good().with("scope", "sales:write")), 403},
		"no scope":                  {sign(t, jose.RS256, key, "k1", p.good().with("scope", nil)), 403},
		"scope as a part of a word": {sign(t, jose.RS256, key, "k1", p.good().with("scope", "xsales:read")), 403},
		"expired":                   {sign(t, jose.RS256, key, "k1", p.good().with("exp", now.Add(-time.Minute).Unix())), 401},
		"no expiry":                 {sign(t, jose.RS256, key, "k1", p.good().with("exp", nil)), 401},
		"not yet valid":             {sign(t, jose.RS256, key, "k1", p.good().with("nbf", now.Add(time.Hour).Unix())), 401},
		"another audience":          {sign(t, jose.RS256, key, "k1", p.good().with("aud", "others")), 401},
		"no audience":               {sign(t, jose.RS256, key, "k1", p.good().with("aud", nil)), 401},
		"another issuer":            {sign(t, jose.RS256, key, "k1", p.good().with("iss", "https://evil.example")), 401},
		"no issuer":                 {sign(t, jose.RS256, key, "k1", p.good().with("iss", nil)), 401},
		"no subject":                {sign(t, jose.RS256, key, "k1", p.good().with("sub", nil)), 401},
		"another's key":             {sign(t, jose.RS256, other, "k1", p.good()), 401},
		"unknown kid":               {sign(t, jose.RS256, key, "k9", p.good()), 401},
		"kid as a path":             {sign(t, jose.RS256, other, "../../etc/passwd", p.good()), 401},
		"kid as SQL":                {sign(t, jose.RS256, other, "' OR 1=1", p.good()), 401},
		"HMAC with the public key":  {sign(t, jose.HS256, publicPEM, "k1", p.good()), 401},
		"no algorithm":              {encode([]byte(`{"alg":"none"}`)) + "." + part[1] + ".", 401},
		"changed claims":            {part[0] + "." + encode([]byte(`{"iss":"`+p.URL+`","aud":"datameesh","sub":"a","exp":9999999999,"scope":"sales:read"}`)) + "." + part[2], 401},
		"no signature":              {part[0] + "." + part[1] + ".", 401},
		"garbage":                   {"a.b.c", 401},
		"too long":                  {part[0] + "." + strings.Repeat("A", maxToken) + "." + part[2], 401},
		"an API key":                {"an-api-key", 200},
		"another API key":           {"no-api-key", 401},
	} {
		who, got := status(a, c.token, "sales:read")
		if got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
		if strings.Contains(who, "alex") {
			t.Errorf("%s: the name %q says who it is", name, who)
		}
	}
}

// becomes waits until got gives what is wanted: go-oidc lets a request join a
// fetch that has ended but is not put away yet, so a change of the provider's
// keys may be seen by a later request than the next.
func becomes(t *testing.T, what string, want int, got func() int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		last := got()
		if last == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %d, want %d", what, last, want)
		}
	}
}

func TestAProvidersNewKeyWorksAtOnceAndItsOldOneEnds(t *testing.T) {
	p := newProvider(t)
	old, next := rsaKey(t), rsaKey(t)
	p.setKeys(map[string]any{"old": old})
	a := newAuthorizer(t, p)
	with := func(key any, kid string) func() int {
		token := sign(t, jose.RS256, key, kid, p.good())
		return func() int {
			_, got := status(a, token, "sales:read")
			return got
		}
	}
	oldKey, newKey, strangers := with(old, "old"), with(next, "next"), with(rsaKey(t), "stranger")
	if got := oldKey(); got != 200 {
		t.Fatalf("the first key: %d", got)
	}
	if got := newKey(); got != 401 {
		t.Errorf("a key before the provider has it: %d", got)
	}
	p.setKeys(map[string]any{"old": old, "next": next})
	becomes(t, "the new key", 200, newKey)
	if got := oldKey(); got != 200 {
		t.Errorf("the old key during the overlap: %d", got)
	}
	p.setKeys(map[string]any{"next": next})
	becomes(t, "the old key after its end", 401, func() int {
		if got := strangers(); got != 401 { // an unknown key makes it look again
			t.Errorf("a stranger's key: %d", got)
		}
		return oldKey()
	})
	if got := newKey(); got != 200 {
		t.Errorf("the new key after the old one's end: %d", got)
	}
}

func TestAKeyTakenBackEndsWithoutARequestByAnotherKey(t *testing.T) {
	p := newProvider(t)
	key := rsaKey(t)
	p.setKeys(map[string]any{"k1": key})
	set := oidc.NewRemoteKeySet(t.Context(), p.URL+"/jwks")
	go renew(t.Context(), set, 10*time.Millisecond)
	token := sign(t, jose.RS256, key, "k1", p.good())
	fits := func() int {
		if _, err := set.VerifySignature(t.Context(), token); err != nil {
			return 401
		}
		return 200
	}
	if got := fits(); got != 200 {
		t.Fatalf("a key that the provider has: %d", got)
	}
	p.setKeys(nil)
	becomes(t, "a key taken back", 401, fits)
}

func TestKnownKeysServeWhileTheProviderIsAway(t *testing.T) {
	p := newProvider(t)
	key := rsaKey(t)
	p.setKeys(map[string]any{"k1": key})
	a := newAuthorizer(t, p)
	token := sign(t, jose.RS256, key, "k1", p.good())
	if _, got := status(a, token, "sales:read"); got != 200 {
		t.Fatalf("got %d", got)
	}
	p.mu.Lock()
	p.down = true
	p.mu.Unlock()
	if _, got := status(a, token, "sales:read"); got != 200 {
		t.Errorf("a known key: %d", got)
	}
	if _, got := status(a, sign(t, jose.RS256, rsaKey(t), "k2", p.good()), "sales:read"); got != 401 {
		t.Errorf("an unknown key: %d", got)
	}
}
