// Package debiandisk makes disks with Debian's riscv64 programs, for tests: fetched by apt in a private configuration, unpacked and made into an
// ext4 image, all of it as an ordinary user.
package debiandisk

import (
	"context"
	"fmt"
	"hash/crc32"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Find returns the image that Make would, if it is there; the error wraps fs.ErrNotExist if not.
func Find(dir, size string, packages ...string) (string, error) {
	disk := path(dir, size, packages)
	_, err := os.Stat(disk)
	return disk, err
}

func path(dir, size string, packages []string) string {
	return filepath.Join(dir, fmt.Sprintf("debian-%08x.img", crc32.ChecksumIEEE([]byte(strings.Join(packages, " ")+size))))
}

// Make returns the image of some packages and what they need in dir, which is made if it is not there. size is as mke2fs has it. vmCache is where
// vm keeps its images and, since it pulled its default one, an apt configuration that names a mirror of Debian and the keys to trust: that
// is used here, with lists and packages of our own. It is for one process at a time.
func Make(ctx context.Context, dir, vmCache, size string, packages ...string) (string, error) {
	disk := path(dir, size, packages)
	if _, err := os.Stat(disk); err == nil {
		return disk, nil
	}
	config := filepath.Join(vmCache, "apt", "apt.conf")
	if _, err := os.Stat(config); err != nil {
		return "", fmt.Errorf("there is no apt configuration from pulling the default image (%w): run vm image pull", err)
	}
	log.Printf("making %s of Debian's packages, once", disk)
	tmp, err := os.MkdirTemp(dir, "tmp")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	apt := filepath.Join(dir, "apt")
	state, archives := filepath.Join(apt, "state"), filepath.Join(apt, "archives")
	for _, d := range []string{filepath.Join(state, "lists", "partial"), filepath.Join(archives, "partial"), filepath.Join(apt, "log")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return "", err
		}
	}
	status := filepath.Join(state, "status") // nothing is installed: everything that is needed is fetched
	if err := os.WriteFile(status, nil, 0o644); err != nil {
		return "", err
	}
	aptGet := func(args ...string) error {
		return command(ctx, apt, "apt-get", append([]string{"-c", config, "-q", "-y",
			"-o", "Dir::State=" + state, "-o", "Dir::State::lists=" + filepath.Join(state, "lists"), "-o", "Dir::State::status=" + status,
			"-o", "Dir::State::extended_states=" + filepath.Join(state, "extended_states"),
			"-o", "Dir::Cache=" + apt, "-o", "Dir::Cache::archives=" + archives, "-o", "Dir::Log=" + filepath.Join(apt, "log")}, args...)...)
	}
	if err := aptGet("update"); err != nil {
		return "", err
	}
	if err := aptGet("clean"); err != nil { // older versions of the same
		return "", err
	}
	if err := aptGet(append([]string{"install", "--download-only", "--no-install-recommends"}, packages...)...); err != nil {
		return "", err
	}
	debs, err := filepath.Glob(filepath.Join(archives, "*.deb"))
	if err != nil {
		return "", err
	}
	// base-files first: it has the links by which /bin is /usr/bin.
	slices.SortStableFunc(debs, func(a, b string) int { return isBase(b) - isBase(a) })
	root := filepath.Join(tmp, "root")
	for _, deb := range debs {
		if err := command(ctx, tmp, "dpkg-deb", "-x", deb, root); err != nil {
			return "", err
		}
	}
	for _, unused := range []string{"usr/share/doc", "usr/share/man", "usr/share/locale"} {
		if err := os.RemoveAll(filepath.Join(root, unused)); err != nil {
			return "", err
		}
	}
	image := filepath.Join(tmp, "image")
	if err := command(ctx, tmp, "mke2fs", "-q", "-t", "ext4", "-E", "root_owner=0:0", "-d", root, image, size); err != nil {
		return "", fmt.Errorf("%w (Debian's package e2fsprogs)", err)
	}
	return disk, os.Rename(image, disk)
}

func isBase(deb string) int {
	if ok, _ := filepath.Match("base-files_*", filepath.Base(deb)); ok {
		return 1
	}
	return 0
}

// command runs a program of the host in a folder; the end of its output becomes part of the error.
func command(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	if err != nil {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		return fmt.Errorf("%s: %w: %s", name, err, strings.Join(lines[max(0, len(lines)-3):], " / "))
	}
	return nil
}
