package guestimage

// Which modules an image holds, and in what order they load. An image is made from a tree of thousands; it keeps what the board's
// devices and a disk's usual file systems need, with everything those depend on.

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// wantedModules are the roots of what an image holds. One that the kernel has built in has no file and is passed over.
var wantedModules = []string{
	"virtio_console", "virtio_pci", "virtio_mmio", "virtio_blk", "virtio_rng", "virtio_balloon",
	"rtc_goldfish",
	"ext4", "vfat", "nls_cp437", "nls_ascii", "isofs", "squashfs", "overlay",
}

// maxModule bounds one decompressed module in bytes.
const maxModule = 64 << 20

// moduleTree finds module files by name.
type moduleTree map[string]string

// readModuleTree walks a folder such as /lib/modules/VERSION.
func readModuleTree(dir string) (moduleTree, error) {
	tree := make(moduleTree)
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name, ok := moduleFile(d.Name()); ok && d.Type().IsRegular() {
			tree[name] = path
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read modules: %w", err)
	}
	if len(tree) == 0 {
		return nil, fmt.Errorf("read modules: %s has no .ko files", dir)
	}
	return tree, nil
}

// read returns a module decompressed.
func (t moduleTree) read(name string) ([]byte, error) {
	f, err := os.Open(t[name])
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, err := decompress(t[name], f)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, maxModule+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxModule {
		return nil, fmt.Errorf("larger than %d bytes", maxModule)
	}
	return data, nil
}

// find resolves a soft dependency, which may be an alias. The crypto core's aliases crypto-ALGORITHM are the only kind that the
// wanted modules use, and their portable implementation is always called ALGORITHM_generic.
func (t moduleTree) find(name string) (string, bool) {
	if _, ok := t[name]; ok {
		return name, true
	}
	if alg, ok := bytes.CutPrefix([]byte(name), []byte("crypto_")); ok {
		generic := string(alg) + "_generic"
		_, ok := t[generic]
		return generic, ok
	}
	return "", false
}

// resolver orders modules depth first, each stored once its dependencies are.
type resolver struct {
	tree    moduleTree
	store   func(data []byte) (Blob, error)
	modules []Module
	busy    []string // the path from a wanted module to the one at hand, to see cycles
	version string   // of the kernel, from the first module
}

// resolve stores the wanted modules that the tree has, and all they need, in load order.
func (t moduleTree) resolve(wanted []string, store func(data []byte) (Blob, error)) (modules []Module, version string, err error) {
	r := &resolver{tree: t, store: store}
	for _, name := range wanted {
		if _, ok := t[name]; !ok {
			continue
		}
		if err := r.add(name); err != nil {
			return nil, "", err
		}
	}
	return r.modules, r.version, nil
}

func (r *resolver) add(name string) error {
	if slices.ContainsFunc(r.modules, func(m Module) bool { return m.Name == name }) {
		return nil
	}
	if slices.Contains(r.busy, name) {
		return fmt.Errorf("module %s depends on itself, by way of %v", name, r.busy)
	}
	r.busy = append(r.busy, name)
	defer func() { r.busy = r.busy[:len(r.busy)-1] }()

	data, err := r.tree.read(name)
	if err != nil {
		return fmt.Errorf("module %s: %w", name, err)
	}
	info, err := readModInfo(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("module %s: %w", name, err)
	}
	if r.version == "" {
		r.version = info.version
	}
	var deps []string
	for _, dep := range info.depends {
		if _, ok := r.tree[dep]; !ok {
			return fmt.Errorf("module %s needs %s, which is not there", name, dep)
		}
		deps = append(deps, dep)
	}
	for _, alias := range info.softPre {
		if dep, ok := r.tree.find(alias); ok && !slices.Contains(deps, dep) {
			deps = append(deps, dep)
		}
	}
	for _, dep := range deps {
		if err := r.add(dep); err != nil {
			return err
		}
	}
	blob, err := r.store(data)
	if err != nil {
		return fmt.Errorf("store module %s: %w", name, err)
	}
	r.modules = append(r.modules, Module{Name: name, Deps: deps, Aliases: info.aliases, Blob: blob})
	return nil
}
