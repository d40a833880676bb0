// Package account decides which operating system account the servers run as.
package account

import (
	"context"
	"errors"
	"syscall"
)

// An Account is who the servers run as.
type Account struct {
	Name     string
	UID, GID uint32
	Made     bool // by us, so that Remove may remove it
	Root     bool // we run as root, and servers must be started with Credential
}

// Credential is what to put into syscall.SysProcAttr.Credential; nil when not root.
func (a Account) Credential() *syscall.Credential {
	if !a.Root {
		return nil
	}
	return &syscall.Credential{Uid: a.UID, Gid: a.GID}
}

var errNotYet = errors.New("account: being written")

// Current returns the account of the servers; as root it makes the account when absent and notes that in stateDir.
func Current(ctx context.Context, stateDir string) (Account, error) { return Account{}, errNotYet }

// Remove removes the account if stateDir says that we made it; removed tells whether there was something to do.
func Remove(ctx context.Context, stateDir string) (removed bool, err error) { return false, errNotYet }
