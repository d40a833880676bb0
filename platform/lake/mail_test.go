//go:build e2e

package lake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/smtp"
	"testing"

	"github.com/datameesh/datameesh/platform/meshtest"
	"github.com/datameesh/datameesh/platform/topology"
)

// What is mailed is on the page of the mailbox, also after the mailbox was killed;
// meanwhile nothing else notices.
func (m *mesh) mail(t *testing.T) {
	const text = "From: mesh@datameesh.example\r\nTo: sarah@datameesh.example\r\nSubject: conversion is low\r\n\r\nBelow 20 %.\r\n"
	if err := smtp.SendMail(fmt.Sprintf("127.0.0.1:%d", topology.PortMailboxSMTP+m.offset), nil,
		"mesh@datameesh.example", []string{"sarah@datameesh.example"}, []byte(text)); err != nil {
		t.Fatal(err)
	}
	m.mailed(t, "conversion is low")
	before := m.pid(t, "mailbox")
	m.kill(t, "mailbox")
	m.want(t, "select count(*) from sales.public.customers", "100")
	ready := fmt.Sprintf("http://127.0.0.1:%d/readyz", topology.PortMailbox+m.offset)
	ctx, cancel := context.WithTimeout(t.Context(), patience) // also for a single answer
	defer cancel()
	meshtest.Until(t, patience, "the mailbox is back", func() error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, ready, nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		if err := resp.Body.Close(); err != nil {
			return err
		}
		if resp.StatusCode != http.StatusOK {
			return errors.New(resp.Status)
		}
		return nil
	})
	if after := m.pid(t, "mailbox"); after == before {
		t.Errorf("process %d was killed and is there", before)
	}
	m.mailed(t, "conversion is low")
}

// mailed looks for one mail of the subject.
func (m *mesh) mailed(t *testing.T, subject string) {
	t.Helper()
	page := fmt.Sprintf("http://127.0.0.1:%d", topology.PortMailbox+m.offset)
	for path, want := range map[string]any{
		"/": nil, "/dist/app.js": nil, // the pages are built in
		"/api/v1/messages": &struct{ Messages []struct{ Subject string } }{},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, page+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", path, resp.Status)
		}
		if list, ok := want.(*struct{ Messages []struct{ Subject string } }); ok {
			if err := json.NewDecoder(resp.Body).Decode(list); err != nil || len(list.Messages) != 1 || list.Messages[0].Subject != subject {
				t.Errorf("mails %+v %v, want one: %s", list, err, subject)
			}
		}
		_ = resp.Body.Close()
	}
}
