// Package browser drives the Chromium of this machine, for tests and pictures of the
// mesh's pages. Nothing that people use needs it.
package browser

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// ErrNone tells that this machine has no Chromium.
var ErrNone = errors.New("no chromium; apt-get install chromium")

// patience is how long one action may take on a busy machine.
const patience = time.Minute

// A Browser is a Chromium with one page.
type Browser struct {
	ctx  context.Context
	stop []func()
}

// Start starts a Chromium that talks to nobody by itself. Close ends it.
func Start(ctx context.Context) (*Browser, error) {
	program := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			program = path
			break
		}
	}
	if program == "" {
		return nil, ErrNone
	}
	b := &Browser{}
	dir, err := os.MkdirTemp("", "meesh-browser-")
	if err != nil {
		return nil, err
	}
	b.stop = append(b.stop, func() { _ = os.RemoveAll(dir) })
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(program), chromedp.Headless, chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.DisableGPU, chromedp.UserDataDir(dir),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("disable-dev-shm-usage", true),
	}
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	allocator, cancel := chromedp.NewExecAllocator(ctx, options...)
	b.stop = append(b.stop, cancel)
	tab, cancel := chromedp.NewContext(allocator)
	b.stop = append(b.stop, cancel)
	b.ctx = tab
	if err := chromedp.Do(tab, chromedp.Navigate("about:blank")); err != nil { // starts it
		b.Close()
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	return b, nil
}

// Close ends the browser.
func (b *Browser) Close() {
	for i := len(b.stop) - 1; i >= 0; i-- {
		b.stop[i]()
	}
}

func (b *Browser) do(actions ...chromedp.Action[chromedp.Void]) error {
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	return chromedp.Do(ctx, actions...)
}

func run[T any](b *Browser, action chromedp.Action[T]) (T, error) {
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	return chromedp.Run(ctx, action)
}

// Size makes the window as wide and high as that, in pixels of CSS.
func (b *Browser) Size(width, height int64) error {
	return b.do(chromedp.EmulateViewport(width, height))
}

// Dark lets pages see that their reader prefers dark ones.
func (b *Browser) Dark(on bool) error {
	scheme := "light"
	if on {
		scheme = "dark"
	}
	return b.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
		return err
	}))
}

// Open goes to the address and waits until it is loaded.
func (b *Browser) Open(address string) error {
	if err := b.do(chromedp.Navigate(address)); err != nil {
		return fmt.Errorf("open %s: %w", address, err)
	}
	return nil
}

// Login logs in to the viewer at the address as somebody who has a keyboard alone.
func (b *Browser) Login(address, name, password string) error {
	if err := b.Open(address + "/login"); err != nil {
		return err
	}
	// The first field takes the focus when the page is painted first, which is after it is
	// loaded; keys typed before that are lost.
	const focused = `new Promise(done => { const look = () => document.activeElement?.name === 'name' ? done(true) : setTimeout(look, 10); look() })`
	if _, err := run(b, chromedp.Evaluate[bool](focused, chromedp.EvalAwaitPromise)); err != nil {
		return fmt.Errorf("log in: no field of the name takes the focus: %w", err)
	}
	if err := b.do(chromedp.KeyEvent(name), chromedp.KeyEvent("\t"), chromedp.KeyEvent(password)); err != nil {
		return fmt.Errorf("log in: %w", err)
	}
	if err := b.do(chromedp.KeyEvent("\r"), chromedp.WaitVisible("form.who, [role=alert]")); err != nil {
		return fmt.Errorf("log in as %s: %w", name, err)
	}
	refusal, err := Eval[string](b, `document.querySelector('[role=alert]')?.innerText ?? ""`)
	if err != nil {
		return fmt.Errorf("log in as %s: %w", name, err)
	}
	if refusal != "" {
		return fmt.Errorf("log in as %s: the page says %q", name, refusal)
	}
	return nil
}

// Type presses keys; "\t" is Tab, "\r" is Enter.
func (b *Browser) Type(keys string) error { return b.do(chromedp.KeyEvent(keys)) }

// Wait waits until something of the CSS selector is visible.
func (b *Browser) Wait(selector string) error {
	if err := b.do(chromedp.WaitVisible(selector)); err != nil {
		return fmt.Errorf("wait for %s: %w", selector, err)
	}
	return nil
}

// Address is where the browser is.
func (b *Browser) Address() (string, error) { return run(b, chromedp.Location()) }

// Eval evaluates an expression of JavaScript in the page.
func Eval[T any](b *Browser, expression string) (T, error) {
	return run(b, chromedp.Evaluate[T](expression))
}

// Picture is a PNG of the whole page.
func (b *Browser) Picture() ([]byte, error) { return run(b, chromedp.FullScreenshot(100)) }

// Print is the page as its reader would print it: a PDF on A4.
func (b *Browser) Print() ([]byte, error) {
	return run(b, chromedp.PrintToPDF(func(p *page.PrintToPDFParams) { on := true; p.PreferCSSPageSize = &on }))
}

// A Finding is what axe-core objects to.
type Finding struct {
	ID     string   `json:"id"`
	Impact string   `json:"impact"` // minor, moderate, serious, critical
	Help   string   `json:"help"`
	Nodes  []string `json:"nodes"`
}

func (f Finding) String() string {
	return fmt.Sprintf("%s, %s: %s: %s", f.Impact, f.ID, f.Help, strings.Join(f.Nodes, " | "))
}

// Findings runs axe-core, whose source it is given, on the page.
func (b *Browser) Findings(axe string) ([]Finding, error) {
	// The page's own policy forbids scripts; the debugger's are not the page's.
	if _, err := Eval[bool](b, axe+"\n;true"); err != nil {
		return nil, fmt.Errorf("axe-core: %w", err)
	}
	const ask = `axe.run(document, {resultTypes: ['violations']}).then(r => r.violations.map(v => ({id: v.id, impact: v.impact, help: v.help, nodes: v.nodes.slice(0, 5).map(n => n.html.slice(0, 160) + ' ' + n.any.concat(n.all).map(c => c.message).join(' '))})))`
	return run(b, chromedp.Evaluate[[]Finding](ask, chromedp.EvalAwaitPromise))
}
