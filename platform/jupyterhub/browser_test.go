//go:build e2e

package jupyterhub_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/datameesh/datameesh/platform/jupyterhub"
)

// browser drives JupyterLab as alex does: a wrong password, the right one, a
// notebook opened and run, a look at its plots.
func (s *suite) browser(t *testing.T) {
	program, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("needs chromium, which .ci/packages lists: %v", err)
		}
		t.Skip("not run: needs chromium (Debian: apt-get install chromium)")
	}
	alex := s.server(t, "alex")
	// The copy that alex would make, without results.
	n, err := alex.Notebook(t.Context(), "mesh/customer_journey/02-customer-journey.ipynb")
	if err != nil {
		t.Fatal(err)
	}
	copied := fmt.Sprintf("browser-%d.ipynb", time.Now().UnixNano()) // what a run before had open, JupyterLab opens again
	if err := alex.Save(t.Context(), copied, n); err != nil {
		t.Fatal(err)
	}

	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.WindowSize(1400, 1000))
	if s.root {
		options = append(options, chromedp.NoSandbox) // it refuses to run as root with one
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	defer cancel()
	var mu sync.Mutex
	outside := map[string]bool{}
	ctx, cancel = chromedp.NewContext(ctx, chromedp.WithListener(func(event any) {
		if sent, ok := event.(*network.EventRequestWillBeSent); ok {
			u, err := url.Parse(sent.Request.URL)
			if err == nil && strings.HasPrefix(u.Scheme, "http") && !slices.Contains([]string{"127.0.0.1", "localhost"}, u.Hostname()) {
				mu.Lock()
				outside[u.Host] = true
				mu.Unlock()
			}
		}
	}))
	defer cancel()
	shoot := func(name string) {
		picture, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
		if err != nil {
			t.Logf("no picture of %s: %v", name, err)
			return
		}
		if dir := os.Getenv("HUB_TEST_PICTURES"); dir != "" {
			if err := os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o644); err != nil {
				t.Error(err)
			}
		}
	}
	do := func(what string, actions ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		if err := chromedp.Do(ctx, actions...); err != nil {
			shoot("failed")
			t.Fatalf("%s: %v", what, err)
		}
	}
	// In steps: a page that is left for another one ends what is asked of it.
	wait := func(what, expression string) {
		t.Helper()
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for begin := time.Now(); ; {
			holds, err := chromedp.Run(ctx, chromedp.Evaluate[bool](expression))
			if err == nil && holds {
				t.Logf("%s: after %.1f s", what, time.Since(begin).Seconds())
				return
			}
			if time.Since(begin) > 2*time.Minute || ctx.Err() != nil {
				shoot("failed")
				t.Fatalf("%s: %v", what, err)
			}
			<-tick.C
		}
	}
	number := func(expression string) int {
		t.Helper()
		n, err := chromedp.Run(ctx, chromedp.Evaluate[int](expression))
		if err != nil {
			t.Fatalf("%s: %v", expression, err)
		}
		return n
	}
	// In a tab of its own: JupyterLab asks whether to leave what is not saved, and
	// would wait for an answer.
	open := func(what, address string) {
		t.Helper()
		var closeTab context.CancelFunc
		ctx, closeTab = chromedp.NewContext(ctx)
		t.Cleanup(closeTab)
		do(what, chromedp.EmulateViewport(1400, 1000), chromedp.Navigate(address))
	}
	login := func(password string) {
		t.Helper()
		do("log in",
			chromedp.Navigate(s.url()+"/hub/login"),
			chromedp.WaitVisible("#username_input"),
			chromedp.SendKeys("#username_input", "alex"),
			chromedp.SendKeys("#password_input", password),
			chromedp.Click("#login_submit"))
	}
	// The tab that is in front; JupyterLab opens those of before again.
	const panel = `[...document.querySelectorAll(".jp-NotebookPanel")].find(p => !p.classList.contains("lm-mod-hidden"))`
	login("wrong")
	wait("a wrong password is refused", `document.querySelector(".login_error")?.innerText.includes("Invalid username or password") === true`)
	shoot("1-wrong-password")
	login(s.Password("alex"))
	wait("the welcome page is shown", panel+`?.innerText.includes("Welcome to DataMeesh") === true`)
	wait("it is read-only", panel+`.innerText.includes("notebook is read-only")`)
	shoot("2-welcome")

	open("open a notebook", s.url()+"/user/alex/lab/tree/"+copied)
	wait("the notebook is open", panel+`?.querySelectorAll(".jp-CodeCell").length === 4`)
	wait("its kernel waits", `document.querySelector(".jp-Notebook-ExecutionIndicator[data-status=idle]") !== null && document.body.innerText.includes("Python 3 (ipykernel) | Idle")`)
	// With the mouse, as a person does.
	click := func(what, element string) {
		t.Helper()
		at := "(() => { const r = (" + element + ")?.getBoundingClientRect(); return r?.width > 0 ? [r.x + r.width / 2, r.y + r.height / 2] : []; })()"
		wait(what, at+".length === 2")
		point, err := chromedp.Run(ctx, chromedp.Evaluate[[]float64](at))
		if err != nil || len(point) != 2 {
			t.Fatalf("%s: at %v, %v", what, point, err)
		}
		do(what, chromedp.MouseClickXY(point[0], point[1]))
	}
	click("restart the kernel and run all cells", panel+`.querySelector("[data-command='notebook:restart-run-all']")`)
	click("yes", `document.querySelector(".jp-Dialog button.jp-mod-accept")`)
	wait("three plots are drawn", panel+`?.querySelectorAll(".jp-RenderedImage img").length === 3`)
	wait("all cells are through", `(() => {
		const prompts = [...`+panel+`.querySelectorAll(".jp-CodeCell .jp-InputPrompt")].map(p => p.innerText);
		return prompts.length === 4 && prompts.every(p => /\[\d+\]/.test(p));
	})()`)
	if got := number(panel + `.querySelectorAll(".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.stderr'], .jp-OutputArea-error").length`); got != 0 {
		t.Errorf("%d cells complain", got)
	}
	if got := number("Math.min(..." + "[..." + panel + `.querySelectorAll(".jp-RenderedImage img")].map(i => i.naturalWidth))`); got < 400 {
		t.Errorf("a plot is %d pixels wide", got)
	}
	if _, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("("+panel+`.querySelectorAll(".jp-RenderedImage img")[1].scrollIntoView({block: "center"}), true)`)); err != nil {
		t.Error(err)
	}
	shoot("3-plots")
	picture, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		t.Fatal(err)
	}
	if colours, err := jupyterhub.Colours(picture); err != nil || colours < 20 {
		t.Errorf("the picture of the page has %d colours: %v", colours, err)
	}

	// Somebody else's server, which must run to be refused by name, and the administrators' page.
	s.server(t, "mike")
	for path, want := range map[string]string{"/user/mike/lab": "mike", "/hub/admin": "403"} {
		open("go to "+path, s.url()+path)
		wait(path+" is refused", fmt.Sprintf(`document.readyState === "complete" && document.querySelector(".jp-NotebookPanel, #jupyterhub-admin-config, .jp-Launcher") === null && document.body.innerText.includes(%q)`, want))
	}
	mu.Lock()
	defer mu.Unlock()
	if len(outside) > 0 {
		t.Errorf("pages ask other hosts: %v", outside)
	}
}
