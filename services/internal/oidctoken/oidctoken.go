// Package oidctoken accepts the tokens of an OpenID Connect provider where API keys are accepted.
package oidctoken

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/datameesh/datameesh/services/internal/apikey"
	"github.com/datameesh/datameesh/services/internal/problem"
)

// maxToken bounds the work on what a stranger sends, in bytes.
const maxToken = 8 << 10

// fetchTimeout bounds the wait for the provider's keys.
const fetchTimeout = 5 * time.Second

// keysAge is how long a key that the provider has taken back may still be
// accepted here.
const keysAge = 5 * time.Minute

// unknownKey is a token that no key fits, {"alg":"RS256","kid":"datameesh-look-again"}:
// the key set fetches the provider's keys anew for it, and has no other way to
// be told so.
const unknownKey = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImRhdGFtZWVzaC1sb29rLWFnYWluIn0.e30.AA"

// algorithms that a token may be signed with: asymmetric ones only, so that
// nobody can sign with a public key or with none.
var algorithms = []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.PS256, oidc.ES256, oidc.ES384, oidc.EdDSA}

// A Provider is whose tokens are accepted.
type Provider struct {
	Issuer   string `env:"OIDC_ISSUER"`   // the token's iss; empty: API keys only
	Audience string `env:"OIDC_AUDIENCE"` // must be in the token's aud
	JWKSURL  string `env:"OIDC_JWKS_URL"` // where the provider's keys are
}

// An Authorizer lets requests with an API key or a token through.
type Authorizer struct {
	keys     *apikey.Ring
	verifier *oidc.IDTokenVerifier // nil: API keys only
}

// New makes an authorizer. The provider need not answer yet: its keys are
// fetched when a token names one that is not known, so a new key of the
// provider works at once, and each keysAge until ctx ends, so that an old one
// ends. While the provider is away, the keys known last are accepted.
func New(ctx context.Context, keys *apikey.Ring, provider Provider) *Authorizer {
	a := &Authorizer{keys: keys}
	if provider.Issuer != "" {
		set := oidc.NewRemoteKeySet(oidc.ClientContext(ctx, &http.Client{Timeout: fetchTimeout}), provider.JWKSURL)
		go renew(ctx, set, keysAge)
		a.verifier = oidc.NewVerifier(provider.Issuer, set, &oidc.Config{ClientID: provider.Audience, SupportedSigningAlgs: algorithms})
	}
	return a
}

// renew fetches the provider's keys after each pause until ctx ends.
func renew(ctx context.Context, set *oidc.RemoteKeySet, pause time.Duration) {
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			// Always an error; that the keys cannot be had is the one to tell.
			if _, err := set.VerifySignature(ctx, unknownKey); strings.HasPrefix(err.Error(), "fetching keys") {
				slog.WarnContext(ctx, "the provider's keys cannot be fetched, those known last are accepted", "error", err)
			}
		}
	}
}

// Authorize gives a name for who sent the request: the API key's, or "oidc-"
// and a hash of the token's subject, which may be a person's address. It answers
// 401 without a valid key or token and 403 when it lacks the scope.
func (a *Authorizer) Authorize(request *http.Request, scope string) (name string, err error) {
	token, _ := strings.CutPrefix(request.Header.Get("Authorization"), "Bearer ")
	if a.verifier == nil || strings.Count(token, ".") != 2 {
		return a.keys.Authorize(request, scope)
	}
	refused := func(detail string) error {
		p := problem.New(http.StatusUnauthorized, problem.CodeUnauthenticated, "%s", detail)
		p.Challenge = `Bearer realm="datameesh", error="invalid_token"`
		return p
	}
	if len(token) > maxToken {
		return "", refused("The token is longer than any that the provider makes.")
	}
	verified, err := a.verifier.Verify(request.Context(), token)
	if err != nil {
		slog.InfoContext(request.Context(), "token refused", "error", err)
		return "", refused("The token is not valid: expired, for another audience, of another issuer, or not signed by it.")
	}
	var claims struct {
		Scope  string `json:"scope"` // RFC 8693, section 4.2: separated by blanks
		Expiry int64  `json:"exp"`
	}
	if err := verified.Claims(&claims); err != nil || claims.Expiry == 0 || verified.Subject == "" {
		return "", refused("The token lacks a subject or an expiry.")
	}
	sum := sha256.Sum256([]byte(verified.Issuer + "\x00" + verified.Subject))
	name = "oidc-" + hex.EncodeToString(sum[:6])
	if !slices.Contains(strings.Fields(claims.Scope), scope) {
		p := problem.New(http.StatusForbidden, problem.CodeForbidden, "The token lacks the scope %s.", scope)
		p.Challenge = `Bearer realm="datameesh", error="insufficient_scope", scope="` + scope + `"`
		return name, p
	}
	return name, nil
}
