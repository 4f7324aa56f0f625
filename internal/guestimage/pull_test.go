package guestimage

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestPullMakesAnImage(t *testing.T) {
	f, c := newFakeApt(t), testCache(t)
	var progress steps
	m, err := c.Pull(t.Context(), PullOptions{host: &f.host, Progress: &progress})
	if err != nil {
		t.Fatal(err)
	}
	if m.Name != DefaultName || m.KernelVersion != testVersion || m.Suite != DefaultSuite || m.Mirror != "http://mirror.test/debian" {
		t.Errorf("%+v", m)
	}
	if blob(t, c, m.Kernel) != string(kernelFile(testVersion)) || blob(t, c, *m.Busybox) != "busybox" {
		t.Error("kernel or busybox differ from the packages'")
	}
	var names []string
	for _, mod := range m.Modules {
		names = append(names, mod.Name)
		if !strings.HasPrefix(blob(t, c, mod.Blob), "\x7fELF") {
			t.Errorf("module %s is not stored decompressed", mod.Name)
		}
	}
	if want := []string{"virtio_blk", "virtio_rng", "crc16", "jbd2", "crc32c_generic", "ext4"}; !slices.Equal(names, want) {
		t.Errorf("modules %v, want %v", names, want)
	}
	if want := []string{"jbd2", "crc16", "crc32c_generic"}; !slices.Equal(m.Modules[5].Deps, want) {
		t.Errorf("ext4 depends on %v, want %v", m.Modules[5].Deps, want)
	}
	if len(m.Packages) != 2 || m.Packages[0].Name != "linux-image-test" || m.Packages[0].Version != "1.2" {
		t.Errorf("packages %+v", m.Packages)
	}
	if n := count(t, c.tmpDir()) + count(t, filepath.Join(c.dir, "apt", "debs")); n != 0 {
		t.Errorf("%d temporary files are left", n)
	}
	if !progress.ended || len(progress.what) < 3 {
		t.Errorf("progress %+v", progress)
	}
	got, err := c.Ensure(t.Context(), DefaultName, PullOptions{host: &aptHost{aptGet: "/nonexistent"}})
	if err != nil || got.Digest() != m.Digest() {
		t.Errorf("Ensure pulled again: %v", err)
	}
}

// steps is progress for tests.
type steps struct {
	what  []string
	ended bool
}

func (s *steps) Step(what string, _ int64) { s.what = append(s.what, what) }
func (s *steps) Set(int64)                 {}
func (s *steps) End()                      { s.ended = true }

func TestFailedPullLeavesTheOldImage(t *testing.T) {
	cancelled, cancel := context.WithCancelCause(context.Background())
	ended := errors.New("ended")
	cancel(ended)
	for _, test := range []struct {
		name   string
		ctx    context.Context
		breaks func(*testing.T, *fakeApt)
		want   string
	}{
		{"apt fails", t.Context(), func(t *testing.T, f *fakeApt) {
			f.script(t, "#!/bin/sh\necho 'E: Failed to fetch x  Hash Sum mismatch' >&2\nexit 100\n")
		}, "the mirror is being updated"},
		{"apt is not there", t.Context(), func(_ *testing.T, f *fakeApt) { f.host.aptGet = "/nonexistent" }, "vm image import"},
		{"no mirror", t.Context(), func(_ *testing.T, f *fakeApt) { f.host.list = "/nonexistent" }, "--mirror URL"},
		{"a package is not what was signed", t.Context(), func(t *testing.T, f *fakeApt) {
			if err := os.WriteFile(filepath.Join(f.dir, busyboxPackage+".deb"), []byte("something else"), 0o644); err != nil {
				t.Fatal(err)
			}
		}, "the signed list says"},
		{"a package is no package", t.Context(), func(t *testing.T, f *fakeApt) { f.add(t, busyboxPackage, []byte("hello")) }, "not a Debian package"},
		{"a package is cut short", t.Context(), func(t *testing.T, f *fakeApt) {
			deb := debFile(t, ".xz", "Package: linux-image-test\nVersion: 2\n", debianFiles(t)...)
			f.add(t, "linux-image-test", deb[:len(deb)/2])
		}, "unexpected EOF"},
		{"no kernel inside", t.Context(), func(t *testing.T, f *fakeApt) {
			f.add(t, "linux-image-test", debFile(t, ".xz", "Package: linux-image-test\nVersion: 2\n"))
		}, "boot/vmlinux"},
		{"a module's dependency is missing", t.Context(), func(t *testing.T, f *fakeApt) {
			files := append(debianFiles(t), file{"lib/modules/x/overlay.ko", koFile(t, "name=overlay", "depends=nothing")})
			f.add(t, "linux-image-test", debFile(t, "", "Package: linux-image-test\nVersion: 2\n", files...))
		}, "needs nothing"},
		{"interrupted", cancelled, func(*testing.T, *fakeApt) {}, "ended"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f, c := newFakeApt(t), testCache(t)
			before, err := c.Pull(t.Context(), PullOptions{host: &f.host})
			if err != nil {
				t.Fatal(err)
			}
			test.breaks(t, f)
			_, err = c.Pull(test.ctx, PullOptions{host: &f.host})
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Fatalf("error %q, want one line with %q", err, test.want)
			}
			if test.ctx == cancelled && !errors.Is(err, ended) {
				t.Errorf("%v does not wrap the cause", err)
			}
			after, err := c.Get(DefaultName)
			if err != nil || after.Digest() != before.Digest() {
				t.Errorf("the image that was there is gone: %v", err)
			}
			if n := count(t, c.tmpDir()); n != 0 {
				t.Errorf("%d temporary files are left", n)
			}
		})
	}
}

// A mirror whose trixie is half updated may have it whole as stable; that must be signed as trixie.
func TestPullTakesTheReleaseByItsOtherName(t *testing.T) {
	for _, c := range []struct {
		name     string
		broken   []string
		codename string
		ok       bool
	}{
		{"stable is trixie", []string{"trixie"}, "trixie\n", true},
		{"oldstable is trixie", []string{"trixie", "stable"}, "trixie\n", true},
		{"stable is another", []string{"trixie"}, "forky\n", false},
		{"nothing is whole", []string{"trixie", "stable", "oldstable"}, "trixie\n", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			apt, cache := newFakeApt(t), testCache(t)
			files := map[string]string{"codename": c.codename}
			for _, suite := range c.broken {
				files["broken-"+suite] = ""
			}
			for name, text := range files {
				if err := os.WriteFile(filepath.Join(apt.dir, name), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			m, err := cache.Pull(t.Context(), PullOptions{host: &apt.host})
			if (err == nil) != c.ok {
				t.Fatal(err)
			}
			if err != nil && !strings.Contains(err.Error(), "try again later") {
				t.Errorf("the error is not that of the release's own name: %v", err)
			}
			if err == nil && m.Suite != "trixie" {
				t.Errorf("suite %q", m.Suite)
			}
		})
	}
}

func TestPullDoesNotTakeKeysFromTheMirrorsSide(t *testing.T) {
	dir := t.TempDir()
	ring := filepath.Join(dir, "ring.gpg")
	if err := os.WriteFile(ring, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	embedded := "\n-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nabc"
	for _, test := range []struct{ name, signedBy, want string }{
		{"none of its own", "", ring},
		{"a path", "/a.gpg", "/a.gpg " + ring},
		{"the same path", ring, ring},
		{"two", "/a.gpg,/b.gpg", "/a.gpg /b.gpg " + ring},
		{"embedded", embedded, embedded},
	} {
		t.Run(test.name, func(t *testing.T) {
			sources := "Types: deb\nURIs: http://m/debian\nSuites: trixie\nComponents: main\nTrusted: yes\n"
			if test.signedBy != "" {
				sources += "Signed-By: " + deb822Value(test.signedBy) + "\n"
			}
			parts := t.TempDir()
			if err := os.WriteFile(filepath.Join(parts, "a.sources"), []byte(sources), 0o644); err != nil {
				t.Fatal(err)
			}
			o := PullOptions{host: &aptHost{parts: parts, keyrings: []string{"/nonexistent", ring}}}
			o.defaults()
			src, err := o.source()
			if err != nil || src.SignedBy != test.want {
				t.Fatalf("%q, %v; want %q", src.SignedBy, err, test.want)
			}
			a, err := newApt("apt-get", t.TempDir(), src, o.Log)
			if err != nil {
				t.Fatal(err)
			}
			written, err := os.ReadFile(filepath.Join(a.dir, "sources.list.d", "vm.sources"))
			if err != nil || bytes.Contains(written, []byte("Trusted")) {
				t.Errorf("%s, %v", written, err)
			}
			if got := parseDeb822(bytes.NewReader(written)); len(got) != 1 || got[0]["signed-by"] != test.want {
				t.Errorf("%q", got)
			}
		})
	}
}

func TestAptConfigurationRefusesWhatItCannotHold(t *testing.T) {
	for _, src := range []Source{{URI: "http://a\"b"}, {URI: "http://a\nb"}, {URI: "http://a b"}, {URI: "http://a", Suite: "x\\y"}} {
		if _, err := newApt("apt-get", t.TempDir(), src, nil); err == nil {
			t.Errorf("%+v: no error", src)
		}
	}
}

func TestAptErrorIsOneLineThatSaysWhatToDo(t *testing.T) {
	plain := errors.New("exit status 100")
	for _, test := range []struct{ stderr, want string }{
		{"", "exit status 100"},
		{"W: something\n", "exit status 100"},
		{"E: odd\nE: more\n", "odd"},
		{"E: Failed to fetch http://m/x  File has unexpected size (1 != 2). Mirror sync in progress?\n", "try again later"},
		{"E: Failed to fetch http://m/InRelease  404  Not Found [IP: 192.0.2.1 80]\nE: The repository is not signed.\n", "--mirror URL"},
		{"W: GPG error: NO_PUBKEY 1234\nE: The repository 'x' is not signed.\n", "debian-archive-keyring"},
		{"E: Failed to fetch http://m/InRelease  Could not resolve 'm'\n", "check the network"},
		{"E: You don't have enough free space\nE: Write error - write (28: No space left on device)\n", "make room"},
	} {
		if got := aptError(test.stderr, plain).Error(); !strings.Contains(got, test.want) || strings.Contains(got, "\n") {
			t.Errorf("%q: %q, want one line with %q", test.stderr, got, test.want)
		}
	}
}

func TestReadStatus(t *testing.T) {
	var got []float64
	readStatus(strings.NewReader("dlstatus:1:0:Starting\nnoise\npmstatus:x:10:y\ndlstatus:2:42.5:Retrieving file 1 of 2: x\ndlstatus:3:bad:z\ndlstatus:4:200:end"),
		func(f float64) { got = append(got, f) })
	if !slices.Equal(got, []float64{0, 0.425, 1}) {
		t.Errorf("%v", got)
	}
}

func TestParseURIsTakesOnlySafeFileNames(t *testing.T) {
	digest := strings.Repeat("ab", 32)
	got := parseURIs([]byte("Reading...\n" +
		"'http://m/a_1%3a2.deb' a_1%3a2.deb 10 SHA256:" + digest + "\n" +
		"'http://m/b.deb' ../b.deb 10 SHA256:" + digest + "\n" +
		"'http://m/c.deb' c.deb -1 SHA256:" + digest + "\n" +
		"'http://m/d.deb' d.deb 10 MD5Sum:" + digest + "\n"))
	if want := []debURI{{"a_1%3a2.deb", 10, Digest(digest)}}; !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
}
