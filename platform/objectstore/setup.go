package objectstore

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/signer"
)

// Setup makes buckets, keys and rights as grants say, and sets back what
// differs; gone are names whose keys are removed. It can be repeated at any
// time. secret returns the secret key of a person. changes has a line for each
// thing that was made.
func Setup(ctx context.Context, e Endpoint, grants []Grant, gone []string, secret func(name string) (string, error)) (changes []string, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("set up the object store %s: %w", e.S3, err)
		}
	}()
	client, err := e.Client(Root, e.Secret)
	if err != nil {
		return nil, err
	}
	for _, bucket := range []string{Lake, Backups} {
		there, err := client.BucketExists(ctx, bucket)
		if err != nil {
			return nil, err
		}
		if there {
			continue
		}
		if err := client.MakeBucket(ctx, bucket, minio.MakeBucketOptions{Region: Region}); err != nil {
			return nil, fmt.Errorf("bucket %s: %w", bucket, err)
		}
		changes = append(changes, "bucket "+bucket+" made")
	}
	cleared, err := clearUploads(ctx, client, time.Now().Add(-uploadAge))
	if err != nil {
		return changes, fmt.Errorf("unfinished uploads: %w", err)
	}
	if cleared > 0 {
		changes = append(changes, fmt.Sprintf("%d unfinished uploads removed", cleared))
	}
	accounts := map[string]string{}
	for _, g := range grants {
		if accounts[g.Name], err = secret(g.Name); err != nil {
			return changes, err
		}
	}
	var more []string
	if e.Kind == MinIO {
		more, err = e.setupMinIO(ctx, grants, gone, accounts)
	} else {
		more, err = e.setupVersityGW(ctx, client, grants, gone, accounts)
	}
	return append(changes, more...), err
}

// uploadAge is how long an upload may take; one that was begun before belongs
// to a writer that was killed, and would keep its space for ever.
const uploadAge = 24 * time.Hour

// clearUploads removes the uploads to the lake that were begun before a time.
// MinIO lists none, and removes them by itself after a day.
func clearUploads(ctx context.Context, client *minio.Client, before time.Time) (cleared int, err error) {
	for u := range client.ListIncompleteUploads(ctx, Lake, "", true) {
		if u.Err != nil {
			return cleared, u.Err
		}
		if u.Initiated.After(before) {
			continue
		}
		core := minio.Core{Client: client}
		if err := core.AbortMultipartUpload(ctx, Lake, u.Key, u.UploadID); err != nil {
			return cleared, fmt.Errorf("%s: %w", u.Key, err)
		}
		cleared++
	}
	return cleared, nil
}

// setupVersityGW gives keys to people, the buckets to their owner, and the
// rights in each bucket's policy.
func (e Endpoint) setupVersityGW(ctx context.Context, client *minio.Client, grants []Grant, gone []string, accounts map[string]string) (changes []string, err error) {
	var users struct {
		Accounts []struct{ Access string }
	}
	if err := e.adminXML(ctx, "/list-users", nil, nil, &users); err != nil {
		return nil, err
	}
	known := map[string]bool{}
	for _, a := range users.Accounts {
		known[a.Access] = true
	}
	for _, name := range gone {
		if !known[name] {
			continue
		}
		if err := e.adminXML(ctx, "/delete-user", url.Values{"access": {name}}, nil, nil); err != nil {
			return changes, fmt.Errorf("key %s: %w", name, err)
		}
		changes = append(changes, "key "+name+" removed")
	}
	for _, g := range grants {
		what := "made"
		if known[g.Name] {
			right, err := e.accepts(ctx, g.Name, accounts[g.Name])
			if err != nil {
				return changes, fmt.Errorf("key %s: %w", g.Name, err)
			}
			if right {
				continue
			}
			// Not update-user: in 1.8.0 it spoils the cache of all keys, and for
			// some seconds right signatures are refused.
			if err := e.adminXML(ctx, "/delete-user", url.Values{"access": {g.Name}}, nil, nil); err != nil {
				return changes, fmt.Errorf("key %s: %w", g.Name, err)
			}
			what = "changed"
		}
		if err := e.adminXML(ctx, "/create-user", nil, struct {
			XMLName              xml.Name `xml:"Account"`
			Access, Secret, Role string
		}{Access: g.Name, Secret: accounts[g.Name], Role: "user"}, nil); err != nil {
			return changes, fmt.Errorf("key %s: %w", g.Name, err)
		}
		changes = append(changes, "key "+g.Name+" "+what)
	}
	var list struct {
		Buckets []struct{ Name, Owner string }
	}
	if err := e.adminXML(ctx, "/list-buckets", nil, nil, &list); err != nil {
		return changes, err
	}
	owners := map[string]string{}
	for _, b := range list.Buckets {
		owners[b.Name] = b.Owner
	}
	for _, bucket := range []string{Lake, Backups} {
		// A new owner takes the bucket's policy away: the owner comes first.
		if owner := owner(grants); owners[bucket] != owner {
			if err := e.adminXML(ctx, "/change-bucket-owner", url.Values{"bucket": {bucket}, "owner": {owner}}, nil, nil); err != nil {
				return changes, fmt.Errorf("owner of %s: %w", bucket, err)
			}
			changes = append(changes, "bucket "+bucket+" given to "+owner)
		}
		text, err := bucketPolicy(grants, bucket)
		if err != nil {
			return changes, err
		}
		if err := client.SetBucketPolicy(ctx, bucket, string(text)); err != nil {
			return changes, fmt.Errorf("policy of %s: %w", bucket, err)
		}
	}
	return changes, nil
}

// accepts tells whether the store knows the key with this secret.
func (e Endpoint) accepts(ctx context.Context, access, secret string) (bool, error) {
	client, err := e.Client(access, secret)
	if err != nil {
		return false, err
	}
	_, err = client.ListBuckets(ctx)
	switch minio.ToErrorResponse(err).Code {
	case "SignatureDoesNotMatch":
		return false, nil
	case "AccessDenied": // the key is right, it may not list
		return true, nil
	}
	return err == nil, err
}

// adminXML calls versitygw's admin API.
func (e Endpoint) adminXML(ctx context.Context, path string, query url.Values, send, receive any) error {
	var body []byte
	if send != nil {
		var err error
		if body, err = xml.Marshal(send); err != nil {
			return err
		}
	}
	answer, err := e.admin(ctx, http.MethodPatch, e.Admin, path, query, body)
	if err != nil || receive == nil {
		return err
	}
	return xml.Unmarshal(answer, receive)
}

// setupMinIO gives keys to people and a policy to each: MinIO's bucket policies
// know no people.
func (e Endpoint) setupMinIO(ctx context.Context, grants []Grant, gone []string, accounts map[string]string) (changes []string, err error) {
	const api = "/minio/admin/v3"
	for _, name := range gone {
		_, err := e.admin(ctx, http.MethodDelete, e.S3, api+"/remove-user", url.Values{"accessKey": {name}}, nil)
		if status, refused := errors.AsType[*statusError](err); refused && status.code == http.StatusNotFound {
			continue
		}
		if err != nil {
			return changes, fmt.Errorf("key %s: %w", name, err)
		}
		changes = append(changes, "key "+name+" removed")
	}
	for _, g := range grants {
		_, err := e.admin(ctx, http.MethodGet, e.S3, api+"/user-info", url.Values{"accessKey": {g.Name}}, nil)
		status, refused := errors.AsType[*statusError](err)
		switch {
		case refused && status.code == http.StatusNotFound:
			changes = append(changes, "key "+g.Name+" made")
		case err != nil:
			return changes, err
		}
		account, err := json.Marshal(struct {
			SecretKey string `json:"secretKey"`
			Status    string `json:"status"`
		}{accounts[g.Name], "enabled"})
		if err != nil {
			return changes, err
		}
		if account, err = seal(e.Secret, account); err != nil {
			return changes, err
		}
		text, err := g.personPolicy()
		if err != nil {
			return changes, err
		}
		for _, c := range []struct {
			path  string
			query url.Values
			body  []byte
		}{
			{"/add-user", url.Values{"accessKey": {g.Name}}, account},
			{"/add-canned-policy", url.Values{"name": {g.Name}}, text},
			{"/set-user-or-group-policy", url.Values{"policyName": {g.Name}, "userOrGroup": {g.Name}, "isGroup": {"false"}}, nil},
		} {
			if _, err := e.admin(ctx, http.MethodPut, e.S3, api+c.path, c.query, c.body); err != nil {
				return changes, fmt.Errorf("key %s: %w", g.Name, err)
			}
		}
	}
	return changes, nil
}

// seal encrypts what MinIO takes encrypted only: salt, kind, nonce, and one
// final fragment of its stream format (AES-256-GCM, key by PBKDF2).
func seal(password string, data []byte) ([]byte, error) {
	const (
		iterations = 8192
		pbkdf2GCM  = 2
		final      = 0x80
	)
	head := make([]byte, 32+1+8)
	if _, err := rand.Read(head); err != nil {
		return nil, err
	}
	salt, nonce := head[:32], head[33:]
	head[32] = pbkdf2GCM
	key, err := pbkdf2.Key(sha256.New, password, salt, iterations, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	counted := func(n uint32) []byte { return binary.LittleEndian.AppendUint32(bytes.Clone(nonce), n) }
	// Fragment 0 is empty; its tag is bound to all others.
	bound := gcm.Seal([]byte{final}, counted(0), nil, nil)
	return gcm.Seal(head, counted(1), data, bound), nil
}

// A statusError is an answer that is not success.
type statusError struct {
	code int
	text string
}

func (e *statusError) Error() string { return e.text }

// admin sends a request that root has signed.
func (e Endpoint) admin(ctx context.Context, method, address, path string, query url.Values, body []byte) ([]byte, error) {
	u := url.URL{Scheme: "http", Host: address, Path: path, RawQuery: query.Encode()}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(body)
	req.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
	req = signer.SignV4(*req, Root, e.Secret, "", Region)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 != 2 {
		return nil, &statusError{resp.StatusCode, fmt.Sprintf("%s answers %s: %s", path, resp.Status, strings.TrimSpace(string(answer)))}
	}
	return answer, nil
}
