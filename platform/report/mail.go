package report

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail"

	"github.com/datameesh/datameesh/platform/topology"
)

// Sender is who reports are mailed by.
const Sender = "reports@" + topology.MailDomain

// Mail sends the report to people: the key numbers as text, the rest as a PDF. The
// server is host:port, inside the mesh and without TLS; the addresses are whole ones.
func (p *Page) Mail(ctx context.Context, server, from string, to []string) error {
	var pdf bytes.Buffer
	if err := p.PDF(&pdf); err != nil {
		return fmt.Errorf("mail %s: %w", p.Title, err)
	}
	m := mail.NewMsg()
	if err := m.From(from); err != nil {
		return fmt.Errorf("mail %s: sender %q: %w", p.Title, from, err)
	}
	if err := m.To(to...); err != nil {
		return fmt.Errorf("mail %s: %w", p.Title, err)
	}
	m.Subject(p.Title + ", " + p.Made.UTC().Format("2 January 2006"))
	m.SetDateWithValue(p.Made)
	m.SetMessageID()
	m.SetBodyString(mail.TypeTextPlain, p.text())
	if err := m.AttachReader(p.FileName("pdf"), &pdf, mail.WithFileContentType("application/pdf")); err != nil {
		return fmt.Errorf("mail %s: %w", p.Title, err)
	}
	host, portText, err := net.SplitHostPort(server)
	if err != nil {
		return fmt.Errorf("mail %s: %w", p.Title, err)
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return fmt.Errorf("mail %s: port of %s: %w", p.Title, server, err)
	}
	client, err := mail.NewClient(host, mail.WithPort(port), mail.WithTLSPolicy(mail.NoTLS), mail.WithTimeout(20*time.Second), mail.WithHELO("localhost"))
	if err != nil {
		return fmt.Errorf("mail %s: %w", p.Title, err)
	}
	if err := client.DialAndSendWithContext(ctx, m); err != nil {
		return fmt.Errorf("mail %s by %s: %w", p.Title, server, err)
	}
	return nil
}

// text is the mail for who reads no PDF.
func (p *Page) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s\n\n", p.Title, p.RangeText())
	for _, f := range p.Filters() {
		fmt.Fprintf(&b, "Only %s\n", f)
	}
	for _, k := range p.KeyNumbers() {
		fmt.Fprintf(&b, "%s\n", k)
	}
	b.WriteString("\n")
	for _, a := range p.AsOf {
		fmt.Fprintf(&b, "%s: %s\n", a.Source, a.Text)
	}
	b.WriteString("\nThe pictures and tables are in the PDF.\n")
	return b.String()
}
