package guestimage

// Pull: from a Debian mirror into the cache, by way of apt.

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"time"
)

const (
	kernelPackage  = "linux-image-" + Arch // a metapackage: it depends on the kernel of the day
	busyboxPackage = "busybox-static"
	maxFile        = 1 << 30 // bytes of one file of a package
)

// PullOptions says what to pull. The zero value pulls the default image from the mirror that the host's apt names.
type PullOptions struct {
	Name     string       // default DefaultName
	Mirror   string       // address of a Debian archive
	Suite    string       // default DefaultSuite
	Progress Progress     // may be nil
	Log      *slog.Logger // may be nil

	host *aptHost // tests have their own
}

func (o *PullOptions) defaults() {
	if o.Name == "" {
		o.Name = DefaultName
	}
	if o.Suite == "" {
		o.Suite = DefaultSuite
	}
	if o.Progress == nil {
		o.Progress = silence{}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.host == nil {
		o.host = &debianHost
	}
}

// Ensure returns the image of that name. The default image is pulled if the cache does not have it.
func (c *Cache) Ensure(ctx context.Context, name string, o PullOptions) (*Manifest, error) {
	m, err := c.Get(name)
	if err == nil || name != DefaultName || !errors.Is(err, ErrNotFound) {
		return m, err
	}
	o.Name = name
	return c.Pull(ctx, o)
}

// Pull obtains Debian's kernel and busybox, verified by apt, and makes an image of them. The image of that name is replaced when
// everything is there, not before. Errors wrap ErrNoApt, ErrNoMirror or the cause of ctx's end.
func (c *Cache) Pull(ctx context.Context, o PullOptions) (*Manifest, error) {
	o.defaults()
	m, err := c.pull(ctx, o)
	o.Progress.End()
	if err != nil {
		return nil, fmt.Errorf("pull image %q: %w", o.Name, err)
	}
	return m, nil
}

func (c *Cache) pull(ctx context.Context, o PullOptions) (*Manifest, error) {
	if err := CheckName(o.Name); err != nil {
		return nil, err
	}
	program, err := exec.LookPath(o.host.aptGet)
	if err != nil {
		return nil, ErrNoApt
	}
	src, err := o.source()
	if err != nil {
		return nil, err
	}
	o.Log.Info("pull", "mirror", src.URI, "suite", src.Suite, "signed-by", src.SignedBy, "cache", c.dir)

	w, err := c.begin(ctx, func() { o.Progress.Step("waiting for another vm that changes the cache", 0) })
	if err != nil {
		return nil, err
	}
	defer w.end()
	a, err := o.update(ctx, program, filepath.Join(c.dir, "apt"), src)
	if err != nil {
		return nil, err
	}

	p := &puller{PullOptions: o, w: w, apt: a}
	if err := p.fetch(ctx); err != nil {
		return nil, err
	}
	m, err := p.unpack(ctx)
	if err != nil {
		return nil, err
	}
	m.Mirror, m.Suite = src.URI, src.Suite
	if err := w.commit(m); err != nil {
		return nil, fmt.Errorf("store the image: %w", err)
	}
	for _, d := range p.debs {
		os.Remove(filepath.Join(a.debs(), d.file)) // not needed again; harmless if it stays
	}
	return m, nil
}

// otherNames are the names under which a mirror holds a release besides its own, for as long as they mean it. A mirror that is
// being updated may hold a whole set of files under one name and not under another.
var otherNames = map[string][]string{"trixie": {"stable", "oldstable"}}

// update fetches the list of packages of the release that is asked for, by its name or another one.
func (o *PullOptions) update(ctx context.Context, program, dir string, src Source) (*apt, error) {
	const listSize = 100 // the list's size is not known: the bar shows percent
	var first error
	for _, suite := range append([]string{o.Suite}, otherNames[o.Suite]...) {
		src.Suite = suite
		a, err := newApt(program, dir, src, o.Log)
		if err != nil {
			return nil, err
		}
		o.Progress.Step("reading Debian's package list", 0)
		err = a.update(ctx, func(f float64) { o.Progress.Set(int64(f * listSize)) })
		if err == nil && suite != o.Suite {
			err = a.checkCodename(ctx, o.Suite)
		}
		if err == nil {
			return a, nil
		}
		if ctx.Err() != nil {
			return nil, err
		}
		o.Log.Info("no package list", "suite", suite, "error", err)
		if first == nil {
			first = err
		}
	}
	return nil, first
}

// source is the mirror, with the keys that vouch for it: those that the host's entry names and the Debian archive's. With
// neither, apt falls back on the keys that the host trusts for everything.
func (o *PullOptions) source() (Source, error) {
	src := Source{URI: o.Mirror}
	if o.Mirror == "" {
		var err error
		if src, err = debianMirror(readSources(o.host.list, o.host.parts), o.Suite); err != nil {
			return Source{}, err
		}
	}
	src.Suite = o.Suite
	if strings.Contains(src.SignedBy, "\n") {
		return src, nil // a key in place of a path: there can be only one
	}
	keys := strings.Fields(strings.ReplaceAll(src.SignedBy, ",", " "))
	for _, ring := range o.host.keyrings {
		if _, err := os.Stat(ring); err == nil {
			keys = append(keys, ring)
			break
		}
	}
	src.SignedBy = strings.Join(unique(keys), " ")
	return src, nil
}

func unique(words []string) []string {
	seen := make(map[string]bool)
	var out []string
	for _, word := range words {
		if !seen[word] {
			seen[word] = true
			out = append(out, word)
		}
	}
	return out
}

// puller is one pull under the cache's lock.
type puller struct {
	PullOptions
	w    *writer
	apt  *apt
	debs []debURI
}

// fetch downloads the packages. The kernel's is named by its metapackage's dependency.
func (p *puller) fetch(ctx context.Context) error {
	meta, err := p.apt.plan(ctx, kernelPackage)
	if err != nil {
		return err
	}
	if err := p.apt.download(ctx, nil, kernelPackage); err != nil {
		return err
	}
	kernel, err := p.kernelOf(meta[0])
	if err != nil {
		return err
	}
	if p.debs, err = p.apt.plan(ctx, kernel, busyboxPackage); err != nil {
		return err
	}
	var total int64
	for _, d := range p.debs {
		total += d.size
	}
	p.Progress.Step("downloading "+kernel+" and "+busyboxPackage, total)
	return p.apt.download(ctx, func(f float64) { p.Progress.Set(int64(f * float64(total))) }, kernel, busyboxPackage)
}

// kernelOf reads the metapackage's dependency and deletes its file.
func (p *puller) kernelOf(meta debURI) (string, error) {
	file := filepath.Join(p.apt.debs(), meta.file)
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	defer os.Remove(file)
	control, err := debControl(f)
	if err != nil {
		return "", fmt.Errorf("package %s: %w", kernelPackage, err)
	}
	for _, name := range dependencies(control["depends"]) {
		if strings.HasPrefix(name, "linux-image-") {
			return name, nil
		}
	}
	return "", fmt.Errorf("package %s %s depends on no linux-image", kernelPackage, control["version"])
}

// unpack stores what an image needs of the packages.
func (p *puller) unpack(ctx context.Context) (*Manifest, error) {
	var total int64
	for _, d := range p.debs {
		total += d.size
	}
	p.Progress.Step("unpacking", total)
	m := &Manifest{Name: p.Name, Created: time.Now().UTC().Truncate(time.Second)}
	modules := filepath.Join(p.w.scratch, "modules")
	if err := os.Mkdir(modules, 0o755); err != nil {
		return nil, err
	}
	tree := make(moduleTree)
	var before int64
	for _, d := range p.debs {
		pkg, err := p.unpackDeb(ctx, d, before, func(name string, body io.Reader) error {
			return p.file(m, tree, modules, name, body)
		})
		if err != nil {
			return nil, fmt.Errorf("package %s: %w", d.file, err)
		}
		m.Packages = append(m.Packages, pkg)
		before += d.size
	}
	switch {
	case m.Kernel.Digest == "":
		return nil, errors.New("the kernel's package has no boot/vmlinux-VERSION: this vm does not know its layout; name another release with --suite")
	case m.Busybox == nil:
		return nil, errors.New("busybox's package has no bin/busybox: this vm does not know its layout; name another release with --suite")
	}
	var err error
	m.Modules, _, err = tree.resolve(wantedModules, func(data []byte) (Blob, error) {
		return p.w.put(strings.NewReader(string(data)), maxModule)
	})
	return m, err
}

// unpackDeb walks one package and checks that it is what the signed list says.
func (p *puller) unpackDeb(ctx context.Context, d debURI, before int64, visit func(string, io.Reader) error) (Package, error) {
	f, err := os.Open(filepath.Join(p.apt.debs(), d.file))
	if err != nil {
		return Package{}, err
	}
	defer f.Close()
	// apt verified the file when it was downloaded. The hash is taken again of the bytes that are used, before any is kept.
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return Package{}, err
	}
	if got := Digest(hex.EncodeToString(h.Sum(nil))); got != d.digest {
		os.Remove(f.Name())
		return Package{}, fmt.Errorf("its SHA-256 is %s, the signed list says %s: pull again", got, d.digest)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return Package{}, err
	}
	control, err := debControl(f)
	if err != nil {
		return Package{}, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return Package{}, err
	}
	body := &progressReader{r: f, p: p.Progress, base: before}
	err = debFiles(body, func(name string, size int64, r io.Reader) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return visit(name, r)
	})
	return Package{Name: control["package"], Version: control["version"], Digest: d.digest}, err
}

// file keeps one file of a package if an image needs it: the kernel and busybox as blobs, modules aside for resolve.
func (p *puller) file(m *Manifest, tree moduleTree, modules, name string, body io.Reader) error {
	base := path.Base(name)
	switch {
	case path.Dir(name) == "boot" && (strings.HasPrefix(base, "vmlinux-") || strings.HasPrefix(base, "vmlinuz-")):
		b, err := p.w.put(body, maxFile)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		m.Kernel = b
		_, m.KernelVersion, _ = strings.Cut(base, "-")
	case name == "bin/busybox" || name == "usr/bin/busybox":
		b, err := p.w.put(body, maxFile)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		m.Busybox = &b
	default:
		module, ok := moduleFile(base)
		if !ok {
			return nil
		}
		to := filepath.Join(modules, base)
		f, err := os.Create(to)
		if err != nil {
			return err
		}
		defer f.Close()
		if _, err := io.Copy(f, io.LimitReader(body, maxFile)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		tree[module] = to
	}
	return nil
}
