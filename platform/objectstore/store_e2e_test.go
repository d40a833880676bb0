//go:build e2e

package objectstore

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/datameesh/datameesh/platform/fetch"
	"github.com/datameesh/datameesh/platform/topology"
)

// start runs the store that OBJECT_STORE names and returns it when it is ready.
func start(t *testing.T) Server {
	t.Helper()
	kind, err := ParseKind(os.Getenv(Variable))
	if err != nil {
		t.Fatal(err)
	}
	cache, err := fetch.CacheDir()
	if err != nil {
		t.Fatal(err)
	}
	tree, err := fetch.Lake(t.Context(), cache, fetch.Store(kind), fetch.NewPrinter(os.Stderr).Report)
	if err != nil {
		t.Fatal(err)
	}
	s := Server{
		Endpoint: Endpoint{Kind: kind, S3: free(t), Admin: free(t), Secret: rand.Text()},
		Program:  tree.ObjectStore, Data: t.TempDir(), Console: free(t),
	}
	s.PageOrigin, s.S3Origin, s.AdminOrigin = "http://"+s.Console, "http://"+s.S3, "http://"+s.Admin
	run(t, s)
	return s
}

// run starts the server and ends it with the test.
func run(t *testing.T, s Server) {
	t.Helper()
	command, err := s.Command()
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cmd := exec.Command(command.Path, command.Args...)
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = command.Env, command.Dir, &log, &log
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		_ = cmd.Wait() // it was asked to end
		if t.Failed() {
			t.Logf("log of %s:\n%s", s.Kind, log.String())
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		err := s.Ready(ctx)
		if err == nil {
			t.Logf("%s ready after %s", s.Kind, time.Since(begin).Round(time.Millisecond))
			return
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			t.Fatal(err)
		}
	}
}

func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// code is S3's name of an error, empty for none.
func code(err error) string {
	if err == nil {
		return ""
	}
	return minio.ToErrorResponse(err).Code
}

func TestPeopleUseTheirOwnPlaces(t *testing.T) {
	s := start(t)
	ctx := t.Context()
	secrets := map[string]string{}
	grants := GrantsOf(topology.People)
	for _, g := range grants {
		secrets[g.Name] = rand.Text() + rand.Text()[:17] // as long as those of package secrets
	}
	secret := func(name string) (string, error) { return secrets[name], nil }
	changes, err := Setup(ctx, s.Endpoint, grants, nil, secret)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(changes, "bucket datalake made") || !slices.Contains(changes, "key alex made") {
		t.Errorf("first time: %v", changes)
	}
	if changes, err = Setup(ctx, s.Endpoint, grants, nil, secret); err != nil || len(changes) > 0 {
		t.Errorf("second time: %v %v", changes, err)
	}
	as := func(name string) *minio.Client {
		c, err := s.Client(name, secrets[name])
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	put := func(name, bucket, key string) error {
		_, err := as(name).PutObject(ctx, bucket, key, strings.NewReader("x"), 1, minio.PutObjectOptions{})
		return err
	}
	get := func(name, bucket, key string) error {
		o, err := as(name).GetObject(ctx, bucket, key, minio.GetObjectOptions{})
		if err == nil {
			_, err = io.ReadAll(o)
		}
		return err
	}
	list := func(name, bucket, prefix string, recursive bool) error {
		for o := range as(name).ListObjects(ctx, bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: recursive}) {
			if o.Err != nil {
				return o.Err
			}
		}
		return nil
	}
	remove := func(name, bucket, key string) error {
		return as(name).RemoveObject(ctx, bucket, key, minio.RemoveObjectOptions{})
	}
	for _, o := range []string{"warehouse/t/a.parquet", "mike/secret", "analytics/report"} {
		if err := put("mike", Lake, o); err != nil {
			t.Fatal(err)
		}
	}

	const denied = "AccessDenied"
	// Written by hand, row by row from the decision who may use what.
	for i, c := range []struct {
		does string
		err  error
		want string
	}{
		{"alex writes their own", put("alex", Lake, "alex/x"), ""},
		{"alex reads their own", get("alex", Lake, "alex/x"), ""},
		{"alex writes shared", put("alex", Lake, "analytics/x"), ""},
		{"alex lists their own", list("alex", Lake, "alex/", true), ""},
		{"alex lists shared", list("alex", Lake, "analytics/", true), ""},
		{"alex lists top folders", list("alex", Lake, "", false), ""},
		{"alex lists everything", list("alex", Lake, "", true), denied},
		{"alex lists mike's", list("alex", Lake, "mike/", true), denied},
		{"alex lists a part of their name", list("alex", Lake, "al", true), denied},
		{"alex reads mike's", get("alex", Lake, "mike/secret"), denied},
		{"alex reads the warehouse", get("alex", Lake, "warehouse/t/a.parquet"), denied},
		{"alex writes mike's", put("alex", Lake, "mike/x"), denied},
		{"alex writes beside folders", put("alex", Lake, "x"), denied},
		{"alex writes a similar name", put("alex", Lake, "alexander/x"), denied},
		{"alex removes mike's", remove("alex", Lake, "mike/secret"), denied},
		{"alex writes backups", put("alex", Backups, "alex/x"), denied},
		{"alex makes a bucket", as("alex").MakeBucket(ctx, "alexs", minio.MakeBucketOptions{}), denied},
		{"alex changes the policy", as("alex").SetBucketPolicy(ctx, Lake, ""), denied},
		{"alex removes their own", remove("alex", Lake, "alex/x"), ""},
		{"sarah writes alex's", put("sarah", Lake, "alex/x"), denied},
		{"sam reads shared", get("sam", Lake, "analytics/report"), ""},
		{"sam writes shared", put("sam", Lake, "analytics/x"), denied},
		{"sam writes their own", put("sam", Lake, "sam/x"), ""},
		{"mia reads sam's", get("mia", Lake, "sam/x"), denied},
		{"emma reads shared", get("emma", Lake, "analytics/report"), ""},
		{"emma writes shared", put("emma", Lake, "analytics/x"), denied},
		{"emma writes", put("emma", Lake, "emma/x"), denied},
		{"mike reads alex's", get("mike", Lake, "analytics/x"), ""},
		{"mike writes backups", put("mike", Backups, "dump"), ""},
		{"trino writes tables", put("trino", Lake, "warehouse/t/b.parquet"), ""},
		{"trino reads backups", get("trino", Backups, "dump"), denied},
		{"hive lists tables", list("hive", Lake, "warehouse/", true), ""},
		{"hive lists backups", list("hive", Backups, "", true), denied},
	} {
		if got := code(c.err); got != c.want {
			t.Errorf("%d %s: %q (%v), want %q", i, c.does, got, c.err, c.want)
		}
	}

	// A key that is changed in the mesh's secrets holds after the next set-up.
	old := secrets["alex"]
	secrets["alex"] = rand.Text()
	if changes, err = Setup(ctx, s.Endpoint, grants, nil, secret); err != nil || s.Kind == VersityGW && !slices.Equal(changes, []string{"key alex changed"}) {
		t.Fatal(changes, err)
	}
	stale, err := s.Client("alex", old)
	if err != nil {
		t.Fatal(err)
	}
	deadline, cancel := context.WithTimeout(ctx, 30*time.Second) // keys are cached for some seconds
	defer cancel()
	for {
		_, err := stale.StatObject(deadline, Lake, "analytics/x", minio.StatObjectOptions{})
		if err != nil && deadline.Err() == nil {
			break
		}
		if deadline.Err() != nil {
			t.Fatal("the old key is still accepted")
		}
	}
	if err := put("alex", Lake, "alex/x"); err != nil {
		t.Errorf("the new key: %v", err)
	}

	// Nobody comes in without a key, and links are for one object.
	if resp := request(t, "http://"+s.S3+"/"+Lake+"/analytics/report"); resp != http.StatusForbidden {
		t.Errorf("without a key: %d", resp)
	}
	link, err := as("sam").PresignedGetObject(ctx, Lake, "analytics/report", time.Minute, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := request(t, link.String()); got != http.StatusOK {
		t.Errorf("a signed link: %d", got)
	}
	link, err = as("sam").PresignedGetObject(ctx, Lake, "mike/secret", time.Minute, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := request(t, link.String()); got != http.StatusForbidden {
		t.Errorf("a link signed for what one may not read: %d", got)
	}
	if got := request(t, "http://"+s.Console+"/"); got != http.StatusOK {
		t.Errorf("the page: %d", got)
	}
	conditional(t, as("trino"))
	if s.Kind == VersityGW {
		uploads(t, as("trino"))
	}
}

// conditional checks what Iceberg's commits rest on: of two writers of one new
// object one is refused.
func conditional(t *testing.T, c *minio.Client) {
	t.Helper()
	options := minio.PutObjectOptions{}
	options.SetMatchETagExcept("*")
	var refused error
	for i := range 2 {
		_, err := c.PutObject(t.Context(), Lake, "warehouse/once", strings.NewReader(fmt.Sprint(i)), 1, options)
		refused = errors.Join(refused, err)
	}
	if got := code(refused); refused == nil || !strings.Contains(refused.Error(), "condition") && got != "PreconditionFailed" {
		t.Errorf("two writers of one object: %v", refused)
	}
}

// uploads: what a killed writer left is removed, what is under way is not.
func uploads(t *testing.T, c *minio.Client) {
	t.Helper()
	core := minio.Core{Client: c}
	id, err := core.NewMultipartUpload(t.Context(), Lake, "warehouse/left", minio.PutObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := core.PutObjectPart(t.Context(), Lake, "warehouse/left", id, 1, strings.NewReader("x"), 1, minio.PutObjectPartOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		before time.Time
		want   int
	}{{time.Now().Add(-time.Hour), 0}, {time.Now().Add(time.Hour), 1}, {time.Now().Add(time.Hour), 0}} {
		if got, err := clearUploads(t.Context(), c, step.before); err != nil || got != step.want {
			t.Errorf("begun before %s: %d removed, want %d (%v)", step.before, got, step.want, err)
		}
	}
}

func request(t *testing.T, url string) int {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}
