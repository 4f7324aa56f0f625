package report

// The page in a real browser: Debian's chromium without a window, told what to do through a pipe.

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vmproject/vm/internal/bench"
	"github.com/vmproject/vm/internal/testtool"
)

// browser is a chromium with one page. Messages are JSON, each ended by a NUL.
type browser struct {
	t       *testing.T
	out     *os.File
	in      *bufio.Reader
	session string
	last    int
	errors  []string // what the page did wrong since it was opened
}

type message struct {
	ID     int             `json:"id"`
	Method string          `json:"method"`
	Result json.RawMessage `json:"result"`
	Params json.RawMessage `json:"params"`
	Error  *struct {
		Message string `json:"message"`
	} `json:"error"`
}

func start(t *testing.T) *browser {
	t.Helper()
	if testing.Short() {
		t.Skip("a browser is not short")
	}
	path := testtool.Find(t, "chromium", "chromium")
	fromTest, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	in, toTest, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	cmd := exec.CommandContext(ctx, path, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars", "--user-data-dir="+t.TempDir(), "--remote-debugging-pipe", "about:blank")
	var log bytes.Buffer
	cmd.Stderr = &log
	cmd.ExtraFiles = []*os.File{fromTest, toTest} // 3 and 4 are what chromium reads and writes
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	fromTest.Close()
	toTest.Close()
	b := &browser{t: t, out: out, in: bufio.NewReader(in)}
	t.Cleanup(func() {
		if !t.Failed() {
			b.call("Browser.close", nil, nil) // so that it leaves nothing in its directory
		}
		out.Close()
		if err := cmd.Wait(); err != nil && t.Failed() {
			t.Logf("chromium: %v\n%s", err, log.String())
		}
		cancel()
		in.Close()
	})
	var target struct{ TargetID string }
	b.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	b.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	b.session = attached.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log", "Network"} {
		b.call(domain+".enable", nil, nil)
	}
	return b
}

// call sends a command and waits for its answer, which goes into result.
func (b *browser) call(method string, params, result any) {
	b.t.Helper()
	b.last++
	request := map[string]any{"id": b.last, "method": method}
	if params != nil {
		request["params"] = params
	}
	if b.session != "" && method != "Browser.close" {
		request["sessionId"] = b.session
	}
	text, err := json.Marshal(request)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.out.Write(append(text, 0)); err != nil {
		b.t.Fatalf("%s: %v", method, err)
	}
	for {
		m := b.read()
		if m.ID != b.last {
			continue
		}
		if m.Error != nil {
			b.t.Fatalf("%s: %s", method, m.Error.Message)
		}
		if result != nil {
			if err := json.Unmarshal(m.Result, result); err != nil {
				b.t.Fatalf("%s: %v in %s", method, err, m.Result)
			}
		}
		return
	}
}

// read reads a message, and notes it where it is trouble.
func (b *browser) read() message {
	b.t.Helper()
	text, err := b.in.ReadBytes(0)
	if err != nil {
		b.t.Fatalf("chromium is gone: %v", err)
	}
	var m message
	if err := json.Unmarshal(bytes.TrimRight(text, "\x00"), &m); err != nil {
		b.t.Fatal(err)
	}
	switch m.Method {
	case "Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled", "Page.javascriptDialogOpening":
		b.errors = append(b.errors, m.Method+": "+string(m.Params))
	case "Network.requestWillBeSent":
		var p struct{ Request struct{ URL string } }
		if json.Unmarshal(m.Params, &p) == nil && !strings.HasPrefix(p.Request.URL, "file:") {
			b.errors = append(b.errors, "it loads "+p.Request.URL)
		}
	}
	return m
}

// open shows a file in a window of some size. A phone has two pixels where a page has one.
func (b *browser) open(file string, width, height int, phone, dark bool) {
	b.t.Helper()
	scale, scheme := 1, "light"
	if phone {
		scale = 2
	}
	if dark {
		scheme = "dark"
	}
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": scale, "mobile": phone}, nil)
	b.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
	b.errors = nil
	b.call("Page.navigate", map[string]any{"url": (&url.URL{Scheme: "file", Path: file}).String()}, nil)
	for b.read().Method != "Page.loadEventFired" {
	}
}

// eval is the value of a JavaScript expression in the page.
func (b *browser) eval(expression string, value any) {
	b.t.Helper()
	var answer struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails json.RawMessage
	}
	b.call("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true}, &answer)
	if answer.ExceptionDetails != nil {
		b.t.Fatalf("%s: %s", expression, answer.ExceptionDetails)
	}
	if value != nil {
		if err := json.Unmarshal(answer.Result.Value, value); err != nil {
			b.t.Fatalf("%s: %v in %s", expression, err, answer.Result.Value)
		}
	}
}

// screenshot goes to the folder that VM_REPORT_SHOTS names, to be looked at.
func (b *browser) screenshot(name string) {
	b.t.Helper()
	to := os.Getenv("VM_REPORT_SHOTS")
	if to == "" {
		return
	}
	var shot struct{ Data []byte }
	b.call("Page.captureScreenshot", map[string]any{"captureBeyondViewport": true}, &shot)
	if err := os.WriteFile(filepath.Join(to, name+".png"), shot.Data, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// measured is what the page looks like to its reader.
type measured struct {
	Dark        bool
	Overflow    int      // pixels by which the page is wider than the window
	Wide        []string // what is too wide
	SmallestPx  float64  // of text in charts
	Outside     []string // text of charts outside of them
	Overlapping []string // text of charts on other text
	Charts      int
	Background  string
}

// A phone would zoom out to show a page that is too wide, and its innerWidth grow: the width to compare with is given.
const measure = `(width => {
	for (const d of document.querySelectorAll("details")) d.open = true;
	const root = document.documentElement, name = e => e.tagName + "." + (e.className.baseVal ?? e.className) + ": " + e.textContent.slice(0, 40);
	const out = { Dark: matchMedia("(prefers-color-scheme: dark)").matches, Overflow: Math.max(root.scrollWidth, document.body.scrollWidth) - width,
		Wide: [], SmallestPx: 99, Outside: [], Overlapping: [], Charts: 0, Background: getComputedStyle(document.body).backgroundColor };
	for (const e of document.querySelectorAll("body *"))
		if (e.getBoundingClientRect().right > width + 1 && !e.closest("svg, .scroll")) out.Wide.push(name(e));
	for (const svg of document.querySelectorAll(".plots svg")) {
		out.Charts++;
		const box = svg.getBoundingClientRect(), scale = box.width / svg.viewBox.baseVal.width, texts = [];
		for (const t of svg.querySelectorAll("text")) {
			out.SmallestPx = Math.min(out.SmallestPx, parseFloat(getComputedStyle(t).fontSize) * scale);
			const r = t.getBoundingClientRect();
			if (r.left < box.left - 1 || r.right > box.right + 1 || r.top < box.top - 1 || r.bottom > box.bottom + 1) out.Outside.push(name(t));
			for (const [o, on] of texts)
				if (r.left < o.right && o.left < r.right && r.top + 3 < o.bottom && o.top + 3 < r.bottom) out.Overlapping.push(name(t) + " on " + on);
			texts.push([r, name(t)]);
		}
	}
	return out;
})(%d)`

// save writes a page to a file of its own.
func save(t *testing.T, p *Page) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "page.html")
	if err := os.WriteFile(file, []byte(text(t, p)), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestInABrowser(t *testing.T) {
	b := start(t)
	for name, p := range map[string]*Page{"full": full(), "first": {Result: result(time.Now(), 1)}, "empty": {Result: &bench.Result{}}} {
		file := save(t, p)
		for _, window := range []struct {
			name          string
			width, height int
			phone         bool
		}{{"wide", 1280, 900, false}, {"tablet", 820, 1000, false}, {"phone", 390, 844, true}, {"narrow", 320, 568, true}} {
			for _, dark := range []bool{false, true} {
				title := fmt.Sprintf("%s-%s-%s", name, window.name, map[bool]string{false: "light", true: "dark"}[dark])
				b.open(file, window.width, window.height, window.phone, dark)
				b.screenshot(title)
				var m measured
				b.eval(fmt.Sprintf(measure, window.width), &m)
				b.screenshot(title + "-open")
				if len(b.errors) > 0 {
					t.Errorf("%s: %s", title, strings.Join(b.errors, "\n"))
				}
				if m.Dark != dark || (m.Background == "rgb(255, 255, 255)") == dark {
					t.Errorf("%s: dark is %v, and the background %s", title, m.Dark, m.Background)
				}
				if m.Overflow > 0 || len(m.Wide) > 0 {
					t.Errorf("%s: it is %d pixels too wide: %q", title, m.Overflow, m.Wide)
				}
				if m.Charts > 0 && window.width >= 390 && m.SmallestPx < 11 {
					t.Errorf("%s: text of %.1f pixels", title, m.SmallestPx)
				}
				if len(m.Outside) > 0 || len(m.Overlapping) > 0 {
					t.Errorf("%s: outside of its chart: %q; on other text: %q", title, m.Outside, m.Overlapping)
				}
				if (m.Charts == 0) != (name == "empty") {
					t.Errorf("%s: %d charts", title, m.Charts)
				}
			}
		}
	}
}

func TestFilterAndSort(t *testing.T) {
	b := start(t)
	b.open(save(t, full()), 1280, 900, false, false)
	names := func(of string) (out string) {
		b.eval(fmt.Sprintf(`Array.from(document.querySelectorAll(%q)).filter(e => e.offsetParent).map(e => e.querySelector("a, summary").firstChild.textContent.trim()).join(" ")`, of), &out)
		return out
	}
	set := func(id, value string) {
		b.eval(fmt.Sprintf(`(() => { const e = document.getElementById(%q); e.value = %q; e.dispatchEvent(new Event("input", { bubbles: true })); })()`, id, value), nil)
	}
	all := names("#all tbody tr")
	for _, c := range []struct{ id, value, want string }{
		{"name", "MEM load", "memory/load"},
		{"name", "", all},
		{"kind", "bad", "memory/load guest/" + hostile},
		{"kind", "doubt", "guest/syscall"},
		{"kind", "good", "memory/limit"},
		{"kind", "speeds", "memory/speeds"},
		{"name", "guest", ""},
		{"kind", "", "guest/syscall guest/" + hostile + " guest/same"},
		{"name", "", all},
	} {
		set(c.id, c.value)
		if rows, sections := names("#all tbody tr"), names("section details"); rows != c.want || sections != c.want {
			t.Errorf("%s is %q: rows %q, sections %q, want %q", c.id, c.value, rows, sections, c.want)
		}
	}
	b.eval(`document.querySelectorAll("th[data-sort]").forEach(th => { th.click(); th.click(); })`, nil)
	if sorted := names("#all tbody tr"); !strings.HasPrefix(sorted, "memory/rate ") {
		t.Errorf("the largest first: %q", sorted)
	}
	var open bool
	b.eval(`(async () => { document.querySelector("#all a").click(); await new Promise(r => setTimeout(r, 50)); return document.querySelector(":target").open; })()`, &open)
	if !open {
		t.Error("a link to a benchmark does not open it")
	}
	if len(b.errors) > 0 {
		t.Error(strings.Join(b.errors, "\n"))
	}
}
