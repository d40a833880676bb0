package objectstore

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"

	"github.com/datameesh/datameesh/platform/policy"
	"github.com/datameesh/datameesh/platform/topology"
)

// A Grant says what one person, or program, may do. Prefixes are of the bucket
// Lake and end in a slash.
type Grant struct {
	Name string // access key; the person's name everywhere in the mesh
	// Owner may do everything in all buckets.
	Owner bool
	// Full are buckets to do everything in.
	Full []string
	// Write are prefixes to list, read, write and delete below.
	Write []string
	// Read are prefixes to list and read below.
	Read []string
}

// Shared is the place of results that everybody may read.
const Shared = "analytics/"

// GrantsOf are the grants of a mesh with these people, as the policy says, and
// of the programs that keep tables in the store. versitygw has one owner per
// bucket, so that is the first of the engineers.
func GrantsOf(people []topology.Person) []Grant {
	var grants []Grant
	owned := false
	for _, p := range people {
		switch files := policy.TheMesh().FilesOf(p); {
		case files.All && !owned:
			owned = true
			grants = append(grants, Grant{Name: p.Name, Owner: true})
		case files.All:
			grants = append(grants, Grant{Name: p.Name, Full: []string{Lake, Backups}})
		default:
			grants = append(grants, Grant{Name: p.Name, Write: files.Write, Read: files.Read})
		}
	}
	return append(grants,
		// Trino and the metastore hold the tables of all people; who may read
		// which is decided by Trino's rules.
		Grant{Name: "trino", Full: []string{Lake}},
		Grant{Name: "hive", Full: []string{Lake}},
		// Tables that people make of files: only of those that everybody may read.
		Grant{Name: topology.StoreUploads, Write: []string{Shared}})
}

// owner is the name of the owner of the buckets.
func owner(grants []Grant) string {
	return grants[slices.IndexFunc(grants, func(g Grant) bool { return g.Owner })].Name
}

// CheckRoom tells whether the store can hold what these people are granted.
func CheckRoom(kind Kind, people []topology.Person) error {
	if kind != VersityGW {
		return nil
	}
	_, err := bucketPolicy(GrantsOf(people), Lake)
	return err
}

// A document is what S3 calls a policy.
type document struct {
	Version   string      `json:"Version"`
	Statement []statement `json:"Statement"`
}

type statement struct {
	Effect    string                         `json:"Effect"`
	Principal *principal                     `json:"Principal,omitempty"` // in a bucket's policy
	Action    []string                       `json:"Action"`
	Resource  []string                       `json:"Resource"`
	Condition map[string]map[string][]string `json:"Condition,omitempty"`
}

type principal struct {
	AWS []string `json:"AWS"`
}

const arn = "arn:aws:s3:::"

// statements are what the grant allows in a bucket; none when it is nothing.
func (g Grant) statements(bucket string) []statement {
	if g.Owner || slices.Contains(g.Full, bucket) {
		return []statement{{Effect: "Allow", Action: []string{"s3:*"}, Resource: []string{arn + bucket, arn + bucket + "/*"}}}
	}
	prefixes := slices.Concat(g.Write, g.Read)
	if bucket != Lake || len(prefixes) == 0 {
		return nil
	}
	// One statement for each prefix, so that those of several people are equal
	// and bucketPolicy can merge them.
	all := []statement{
		{Effect: "Allow", Action: []string{"s3:GetBucketLocation"}, Resource: []string{arn + bucket}},
		{
			// The names of the top folders, nothing below. An empty prefix is
			// not sent to the condition, so it cannot be compared with "".
			Effect: "Allow", Action: []string{"s3:ListBucket"}, Resource: []string{arn + bucket},
			Condition: map[string]map[string][]string{"Null": {"s3:prefix": {"true"}}, "StringEquals": {"s3:delimiter": {"/"}}},
		},
	}
	for _, p := range prefixes {
		all = append(all, statement{
			Effect: "Allow", Action: []string{"s3:ListBucket"}, Resource: []string{arn + bucket},
			Condition: map[string]map[string][]string{"StringLike": {"s3:prefix": {p + "*"}}},
		})
		actions := []string{"s3:GetObject"}
		if slices.Contains(g.Write, p) {
			actions = append(actions, "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts")
		}
		all = append(all, statement{Effect: "Allow", Action: actions, Resource: []string{arn + bucket + "/" + p + "*"}})
	}
	return all
}

// policyLimit is what a policy may be long: versitygw keeps it in an extended
// attribute of the bucket's folder, and all attributes of a file on ext4 share
// 4096 bytes.
const policyLimit = 3600

// bucketPolicy is the policy of a bucket for all who are granted something.
func bucketPolicy(grants []Grant, bucket string) ([]byte, error) {
	p := document{Version: "2012-10-17"}
	for _, g := range grants {
		for _, s := range g.statements(bucket) {
			same := func(other statement) bool {
				other.Principal = nil
				return reflect.DeepEqual(other, s)
			}
			if i := slices.IndexFunc(p.Statement, same); i >= 0 {
				p.Statement[i].Principal.AWS = append(p.Statement[i].Principal.AWS, g.Name)
				continue
			}
			s.Principal = &principal{AWS: []string{g.Name}}
			p.Statement = append(p.Statement, s)
		}
	}
	text, err := json.Marshal(p)
	if err == nil && len(text) > policyLimit {
		err = fmt.Errorf("the policy of %s has %d bytes, %s keeps %d; grant less to fewer", bucket, len(text), VersityGW, policyLimit)
	}
	return text, err
}

// personPolicy is the policy of one person for all buckets, as MinIO takes it.
func (g Grant) personPolicy() ([]byte, error) {
	p := document{Version: "2012-10-17"}
	for _, bucket := range []string{Lake, Backups} {
		for _, s := range g.statements(bucket) {
			if s.Condition["Null"] != nil { // MinIO does compare an empty prefix
				s.Condition = map[string]map[string][]string{"StringEquals": {"s3:prefix": {""}, "s3:delimiter": {"/"}}}
			}
			p.Statement = append(p.Statement, s)
		}
	}
	return json.Marshal(p)
}
