package jupyterhub

import (
	"strings"
	"testing"
)

func TestParseLoginProvider(t *testing.T) {
	const oidc = `{"kind": "oidc", "settings": {"client_id": "mesh", "client_secret": "s", "authorize_url": "u", "token_url": "u", "userdata_url": "u", "username_claim": "sub"}}`
	for text, want := range map[string]string{
		oidc: "",
		`{"kind": "ldap", "settings": {"server_address": "localhost"}}`:                          "",
		`{"kind": "ldap", "settings": {}}`:                                                       "setting server_address is missing",
		`{"kind": "saml", "settings": {}}`:                                                       `kind "saml": choose one of ldap, oidc`,
		`{"kind": "ldap", "settings": {"server_address": "localhost", "allow_all": true}}`:       "setting allow_all",
		`{"kind": "ldap", "settings": {"server_address": "localhost", "admin_users": ["alex"]}}`: "setting admin_users",
		`{"kind": "ldap", "setting": {}}`:                                                        `unknown field "setting"`,
		`kind: ldap`:                                                                             `write {"kind":`,
		strings.Replace(oidc, `"client_secret": "s", `, "", 1):                                   "setting client_secret is missing",
	} {
		_, err := ParseLoginProvider([]byte(text))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}
