package objectstore

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/datameesh/datameesh/platform/topology"
)

// Everybody of the mesh has a key, and nobody else but Trino and the metastore.
func TestGrantsAreForPeople(t *testing.T) {
	var names []string
	owners := 0
	for _, g := range GrantsOf(topology.People) {
		names = append(names, g.Name)
		if g.Owner {
			owners++
		}
		for _, p := range slices.Concat(g.Write, g.Read) {
			if !strings.HasSuffix(p, "/") {
				t.Errorf("%s: prefix %q would match names that begin alike", g.Name, p)
			}
		}
	}
	for _, p := range slices.Concat(topology.People, topology.StoreUsers) {
		if !slices.Contains(names, p.Name) {
			t.Errorf("%s has no key", p.Name)
		}
	}
	if len(names) != len(topology.People)+len(topology.StoreUsers) || owners != 1 {
		t.Errorf("keys of %v with %d owners", names, owners)
	}
}

func TestBucketPolicyNamesEverybodyOnce(t *testing.T) {
	text, err := bucketPolicy(GrantsOf(topology.People), Backups)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["mike"]},"Action":["s3:*"],"Resource":["arn:aws:s3:::backups","arn:aws:s3:::backups/*"]}]}`
	if string(text) != want {
		t.Errorf("backups: %s", text)
	}
	text, err = bucketPolicy(GrantsOf(topology.People), Lake)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes", len(text))
	var p document
	if err := json.Unmarshal(text, &p); err != nil {
		t.Fatal(err)
	}
	for _, s := range p.Statement {
		for _, who := range s.Principal.AWS {
			everything := slices.Contains(s.Action, "s3:*")
			if everything != slices.Contains([]string{"mike", "trino", "hive"}, who) {
				t.Errorf("%s: %v", who, s.Action)
			}
			if who == "emma" && slices.Contains(s.Action, "s3:PutObject") {
				t.Error("emma may write")
			}
		}
	}
	many := slices.Clone(GrantsOf(topology.People))
	for i := range 20 {
		name := fmt.Sprint("person", i)
		many = append(many, Grant{Name: name, Write: []string{name + "/"}})
	}
	if _, err := bucketPolicy(many, Lake); err == nil || !strings.Contains(err.Error(), "keeps 3600") {
		t.Errorf("a policy that does not fit: %v", err)
	}
	// Where a policy belongs to a person it names none.
	alex := GrantsOf(topology.People)[0]
	text, err = alex.personPolicy()
	if err != nil || strings.Contains(string(text), "Principal") || !strings.Contains(string(text), "alex/*") {
		t.Errorf("alex: %s %v", text, err)
	}
}

func TestParseKind(t *testing.T) {
	for value, want := range map[string]Kind{"": VersityGW, "minio": MinIO, "versitygw": VersityGW} {
		if got, err := ParseKind(value); err != nil || got != want {
			t.Errorf("%q: %v %v", value, got, err)
		}
	}
	if _, err := ParseKind("MinIO"); err == nil || !strings.Contains(err.Error(), "versitygw or minio") {
		t.Errorf("got %v", err)
	}
}

func TestCommandShowsNoSecret(t *testing.T) {
	for _, kind := range []Kind{VersityGW, MinIO} {
		s := Server{Endpoint: Endpoint{Kind: kind, S3: "127.0.0.1:1", Admin: "127.0.0.1:2", Secret: "the-secret"},
			Program: "/p", Data: t.TempDir(), Console: "127.0.0.1:3"}
		cmd, err := s.Command()
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(strings.Join(cmd.Args, " "), "the-secret") || !strings.Contains(strings.Join(cmd.Env, " "), "the-secret") {
			t.Errorf("%s: %v", kind, cmd.Args)
		}
		s.Program = ""
		if _, err := s.Command(); err == nil {
			t.Errorf("%s starts without a program", kind)
		}
	}
}
