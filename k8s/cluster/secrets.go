package cluster

import (
	"bytes"
	"context"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/datameesh/datameesh/k8s/credentials"
	"github.com/datameesh/datameesh/platform/secrets"
)

// Secrets makes what is missing of the mesh's credentials, in the cluster alone,
// and the Secrets that its pods mount. changed are the Secrets that were made or changed.
func (c *Cluster) Secrets(ctx context.Context, adminPassword string) (changed []string, err error) {
	master, err := c.secret(ctx, credentials.MasterNamespace, credentials.Master)
	if err != nil {
		return nil, err
	}
	store, _, err := secrets.EnsureIn(master, adminPassword)
	if err != nil {
		return nil, err
	}
	return c.put(ctx, store)
}

// put writes the credentials and the Secrets that are made of them. changed are
// those that differed.
func (c *Cluster) put(ctx context.Context, store *secrets.Store) (changed []string, err error) {
	// The master first: what is derived from it can be made again.
	wanted := []credentials.Secret{{Namespace: credentials.MasterNamespace, Name: credentials.Master, Data: store.Content()}}
	var failed error
	derived, err := credentials.Secrets(store, func(namespace, name string) map[string][]byte {
		have, err := c.secret(ctx, namespace, name)
		if err != nil {
			failed = err
		}
		return have
	})
	if err != nil || failed != nil {
		return nil, fmt.Errorf("make the Secrets: %w", firstOf(err, failed))
	}
	for _, s := range append(wanted, derived...) {
		have, err := c.secret(ctx, s.Namespace, s.Name)
		if err != nil {
			return changed, err
		}
		if maps.EqualFunc(have, s.Data, bytes.Equal) {
			continue
		}
		if err := c.writeSecret(ctx, s, have == nil); err != nil {
			return changed, err
		}
		changed = append(changed, s.Namespace+"/"+s.Name)
	}
	return changed, nil
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// secret is what a Secret holds; nil when it is not there.
func (c *Cluster) secret(ctx context.Context, namespace, name string) (map[string][]byte, error) {
	s, err := c.client.CoreV1().Secrets(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return s.Data, nil
}

func (c *Cluster) writeSecret(ctx context.Context, s credentials.Secret, isNew bool) error {
	object := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: s.Name, Namespace: s.Namespace, Labels: map[string]string{"app.kubernetes.io/part-of": "datameesh", "app.kubernetes.io/managed-by": Manager}},
		Data:       s.Data,
	}
	var err error
	if isNew {
		_, err = c.client.CoreV1().Secrets(s.Namespace).Create(ctx, object, metav1.CreateOptions{FieldManager: Manager})
	} else {
		_, err = c.client.CoreV1().Secrets(s.Namespace).Update(ctx, object, metav1.UpdateOptions{FieldManager: Manager})
	}
	return err
}

// Credential is one credential of the mesh, by the name that "meesh credentials"
// gives it on one machine.
func (c *Cluster) Credential(ctx context.Context, name string) (string, error) {
	store, err := c.store(ctx)
	if err != nil {
		return "", err
	}
	return store.Lookup(name)
}

// CA is the certificate of the authority that signed Trino's, PEM.
func (c *Cluster) CA(ctx context.Context) ([]byte, error) {
	store, err := c.store(ctx)
	if err != nil {
		return nil, err
	}
	return store.CA()
}

func (c *Cluster) store(ctx context.Context) (*secrets.Store, error) {
	master, err := c.secret(ctx, credentials.MasterNamespace, credentials.Master)
	if err != nil {
		return nil, err
	}
	if master == nil {
		return nil, fmt.Errorf("the cluster holds no credentials of the mesh; make them with: meesh k8s secrets")
	}
	store, _, err := secrets.EnsureIn(master, string(master["people..admin"]))
	return store, err
}
