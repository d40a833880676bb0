package jupyterhub

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A LoginProvider is a way to log in by who others know: what MESH_HUB_LOGIN of the hub's
// configuration names. Settings are traits of oauthenticator's GenericOAuthenticator
// (kind oidc) or of ldapauthenticator's LDAPAuthenticator (kind ldap).
type LoginProvider struct {
	Kind     string         `json:"kind"`
	Settings map[string]any `json:"settings"`
}

// needed are the settings without which nobody could log in, by kind.
var needed = map[string][]string{
	"oidc": {"authorize_url", "client_id", "client_secret", "token_url", "userdata_url", "username_claim"},
	"ldap": {"server_address"},
}

// ParseLoginProvider reads the JSON text of a LoginProvider. What the hub would refuse, or could
// not work with, is an error that says how to mend it.
func ParseLoginProvider(text []byte) (LoginProvider, error) {
	var l LoginProvider
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&l); err != nil {
		return l, fmt.Errorf(`%w; write {"kind": "oidc" or "ldap", "settings": {…}}`, err)
	}
	names, known := needed[l.Kind]
	if !known {
		return l, fmt.Errorf("kind %q: choose one of %s", l.Kind, strings.Join(slices.Sorted(maps.Keys(needed)), ", "))
	}
	for _, name := range slices.Sorted(maps.Keys(l.Settings)) {
		if strings.HasPrefix(name, "allow") || strings.HasPrefix(name, "admin") {
			return l, fmt.Errorf("setting %s: who may come in is decided by the mesh's list; leave it out, and see: meesh user", name)
		}
	}
	for _, name := range names {
		if _, ok := l.Settings[name]; !ok {
			return l, fmt.Errorf("setting %s is missing", name)
		}
	}
	return l, nil
}
