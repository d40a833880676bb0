// Package objectstore starts the mesh's S3 server and gives its people their keys and places.
package objectstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/datameesh/datameesh/platform/topology"
)

// A Kind is the program that serves the objects.
type Kind string

// Kinds of object stores.
const (
	VersityGW Kind = "versitygw" // maintained, Apache-2.0
	MinIO     Kind = "minio"     // the seed's; archived upstream in 2026, AGPL-3.0
)

// Variable names the environment variable that says which one a new mesh gets.
const Variable = "OBJECT_STORE"

// ParseKind reads the value of Variable; empty means VersityGW.
func ParseKind(value string) (Kind, error) {
	switch k := Kind(value); k {
	case "":
		return VersityGW, nil
	case VersityGW, MinIO:
		return k, nil
	}
	return "", fmt.Errorf("%s=%s: choose %s or %s", Variable, value, VersityGW, MinIO)
}

// Region that all requests are signed for.
const Region = "us-east-1"

// Buckets of the mesh.
const (
	Lake    = "datalake"
	Backups = "backups"
)

// Root is the access key that may do everything; it makes buckets and keys.
const Root = topology.StoreRoot

// An Endpoint is where an object store is and how root logs in to it.
type Endpoint struct {
	Kind   Kind
	S3     string // host:port
	Admin  string // host:port of versitygw's admin API; MinIO has it on S3
	Secret string // of the key Root
}

// A Server is an object store to be run on this machine.
type Server struct {
	Endpoint
	Program string // tree of the program; see fetch.LakeTree
	Data    string // folder for objects and accounts, absolute
	Console string // host:port of the page
	// Origins of the page as browsers see it, e.g. http://localhost:30901,
	// and of S3 and the admin API as the page is to call them.
	PageOrigin, S3Origin, AdminOrigin string
}

// A Command starts the object store in the foreground. The environment holds
// passwords.
type Command struct {
	Path string
	Args []string
	Env  []string // complete: nothing of the caller's is needed
	Dir  string   // working folder
}

// Command makes the folders and says how to start the server.
func (s Server) Command() (cmd Command, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("configure the object store: %w", err)
		}
	}()
	if s.Program == "" {
		return Command{}, errors.New("its program has not been fetched yet")
	}
	// One kind cannot read what the other wrote.
	data := filepath.Join(s.Data, string(s.Kind))
	objects, accounts := filepath.Join(data, "objects"), filepath.Join(data, "accounts")
	if err := errors.Join(os.MkdirAll(objects, 0o700), os.MkdirAll(accounts, 0o700)); err != nil {
		return Command{}, err
	}
	cmd = Command{
		Path: filepath.Join(s.Program, "bin", string(s.Kind)),
		Env:  []string{"PATH=/usr/bin:/bin", "HOME=" + data, "TZ=UTC"},
		Dir:  data,
	}
	if s.Kind == MinIO {
		cmd.Args = []string{"server", "--quiet", "--address", s.S3, "--console-address", s.Console, objects}
		cmd.Env = append(cmd.Env,
			"MINIO_ROOT_USER="+Root,
			"MINIO_ROOT_PASSWORD="+s.Secret,
			"MINIO_REGION="+Region,
			"MINIO_BROWSER_REDIRECT_URL="+s.PageOrigin,
			"MINIO_UPDATE=off") // nothing is asked of the internet
		return cmd, nil
	}
	cmd.Args = []string{
		"--port", s.S3,
		"--admin-port", s.Admin, // away from S3, so that only who may make keys need reach it
		"--webui", s.Console,
		// The page runs in the browser and calls both by itself.
		"--webui-gateways", s.S3Origin,
		"--webui-admin-gateways", s.AdminOrigin,
		"--cors-allow-origin", s.PageOrigin,
		"--region", Region,
		"--iam-dir", accounts,
		"--iam-cache-ttl", "5", // seconds until a changed key holds everywhere
		"--health", "/health",
		"--quiet",
		"posix", objects,
	}
	cmd.Env = append(cmd.Env, "ROOT_ACCESS_KEY="+Root, "ROOT_SECRET_KEY="+s.Secret)
	return cmd, nil
}

// Client makes an S3 client with a key.
func (e Endpoint) Client(access, secret string) (*minio.Client, error) {
	return minio.New(e.S3, &minio.Options{
		Creds:        credentials.NewStaticV4(access, secret, ""),
		Region:       Region,
		BucketLookup: minio.BucketLookupPath,
		MaxRetries:   1, // who waits for the store asks again by itself
	})
}

// Ready lists the buckets as root: the store answers, accepts its key and
// reaches its data.
func (e Endpoint) Ready(ctx context.Context) error {
	client, err := e.Client(Root, e.Secret)
	if err != nil {
		return err
	}
	if _, err := client.ListBuckets(ctx); err != nil {
		return fmt.Errorf("object store %s: %w", e.S3, err)
	}
	return nil
}

// Size counts the objects below a folder like s3://datalake/lake, and their bytes.
func (e Endpoint) Size(ctx context.Context, folder string) (objects, bytes int64, err error) {
	bucket, prefix, ok := strings.Cut(strings.TrimPrefix(folder, "s3://"), "/")
	if !ok {
		return 0, 0, fmt.Errorf("object store %s: %q is no folder of a bucket", e.S3, folder)
	}
	client, err := e.Client(Root, e.Secret)
	if err != nil {
		return 0, 0, err
	}
	ctx, cancel := context.WithCancel(ctx) // ends the listing after an error
	defer cancel()
	for o := range client.ListObjects(ctx, bucket, minio.ListObjectsOptions{Prefix: strings.TrimSuffix(prefix, "/") + "/", Recursive: true}) {
		if o.Err != nil {
			return 0, 0, fmt.Errorf("object store %s: list %s: %w", e.S3, folder, o.Err)
		}
		objects++
		bytes += o.Size
	}
	return objects, bytes, nil
}
