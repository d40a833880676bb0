package bootstrap

import (
	"encoding/base64"
	"testing"
)

// The example of RFC 7677: password "pencil", 4096 iterations. Its server
// signature key was computed apart from this code, with Python's hashlib.
func TestVerifier(t *testing.T) {
	salt, err := base64.StdEncoding.DecodeString("W22ZaJ0SNY7soEsUEjb6gQ==")
	if err != nil {
		t.Fatal(err)
	}
	got, err := verifier("pencil", salt, 4096)
	if err != nil {
		t.Fatal(err)
	}
	const want = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestVerifies(t *testing.T) {
	stored, err := newVerifier("right")
	if err != nil {
		t.Fatal(err)
	}
	if !verifies(stored, "right") {
		t.Error("the right password is not recognised")
	}
	for name, s := range map[string]string{
		"md5":                  "md5f2c885c0ba16bdd6d20c3ddbd5da5c9c",
		"empty":                "",
		"cut off":              stored[:20],
		"no salt":              "SCRAM-SHA-256$4096$x:y",
		"iterations no number": "SCRAM-SHA-256$many:c2FsdA==$x:y",
	} {
		if verifies(s, "right") {
			t.Errorf("%s: recognised", name)
		}
	}
	if verifies(stored, "wrong") {
		t.Error("a wrong password is recognised")
	}
}
