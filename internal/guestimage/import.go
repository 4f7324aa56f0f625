package guestimage

// Import: an image from files by hand, for hosts without apt and for kernels of one's own.

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"time"
)

// ImportOptions names the files of an image.
type ImportOptions struct {
	Name    string // default DefaultName
	Kernel  string // path of a RISC-V Linux kernel in any form that a machine boots
	Busybox string // path of a static busybox, or empty: an image without user space
	Modules string // folder with the kernel's modules, or empty
}

// Import makes an image, in place of one that has the name. Sources are copied; they are not needed afterwards.
func (c *Cache) Import(ctx context.Context, o ImportOptions) (*Manifest, error) {
	if o.Name == "" {
		o.Name = DefaultName
	}
	m, err := c.importFiles(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("import image %q: %w", o.Name, err)
	}
	return m, nil
}

func (c *Cache) importFiles(ctx context.Context, o ImportOptions) (*Manifest, error) {
	if err := CheckName(o.Name); err != nil {
		return nil, err
	}
	version, err := checkKernel(o.Kernel)
	if err != nil {
		return nil, err
	}
	if o.Busybox != "" {
		if err := checkBusybox(o.Busybox); err != nil {
			return nil, err
		}
	}
	var tree moduleTree
	if o.Modules != "" {
		if tree, err = readModuleTree(o.Modules); err != nil {
			return nil, err
		}
	}

	w, err := c.begin(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer w.end()
	m := &Manifest{Name: o.Name, Created: time.Now().UTC().Truncate(time.Second), KernelVersion: version}
	if m.Kernel, err = w.putFile(o.Kernel); err != nil {
		return nil, err
	}
	if o.Busybox != "" {
		b, err := w.putFile(o.Busybox)
		if err != nil {
			return nil, err
		}
		m.Busybox = &b
	}
	modules, built, err := tree.resolve(wantedModules, func(data []byte) (Blob, error) {
		return w.put(bytes.NewReader(data), maxModule)
	})
	if err != nil {
		return nil, err
	}
	m.Modules = modules
	if m.KernelVersion == "" {
		m.KernelVersion = built
	} else if built != "" && built != m.KernelVersion {
		return nil, fmt.Errorf("the modules in %s are of kernel %s, the kernel is %s: import a pair", o.Modules, built, m.KernelVersion)
	}
	return m, w.commit(m)
}

// putFile stores a file as it is.
func (w *writer) putFile(name string) (Blob, error) {
	f, err := os.Open(name)
	if err != nil {
		return Blob{}, err
	}
	defer f.Close()
	b, err := w.put(f, maxFile)
	if err != nil {
		return Blob{}, fmt.Errorf("%s: %w", name, err)
	}
	return b, nil
}

// The head of a RISC-V Image, Documentation/arch/riscv/boot-image-header.rst of Linux.
const (
	imageMagicAt = 56
	imageMagic   = 0x05435352 // "RSC\x05"
)

// banner is what every Linux kernel has in its read-only data.
var banner = regexp.MustCompile(`Linux version ([0-9][0-9A-Za-z.+~_-]*) \(`)

// checkKernel refuses what is plainly no kernel for this machine, and finds its version if it is there to be read. Compressed
// kernels pass unread: the loader looks inside.
func checkKernel(name string) (version string, err error) {
	f, err := os.Open(name)
	if err != nil {
		return "", fmt.Errorf("kernel: %w", err)
	}
	defer f.Close()
	head := make([]byte, imageMagicAt+8)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return "", fmt.Errorf("kernel %s: it cannot be read, or is empty", name)
	}
	head = head[:n]
	switch {
	case bytes.HasPrefix(head, []byte("\x1f\x8b")), bytes.HasPrefix(head, []byte("\x28\xb5\x2f\xfd")):
		return "", nil
	case bytes.HasPrefix(head, []byte("MZ\x00\x00zimg")):
		return "", nil // an EFI stub around a compressed Image
	case bytes.HasPrefix(head, []byte(elf.ELFMAG)):
		e, err := elf.NewFile(f)
		if err != nil {
			return "", fmt.Errorf("kernel %s: %w", name, err)
		}
		if e.Machine != elf.EM_RISCV || e.Class != elf.ELFCLASS64 {
			return "", fmt.Errorf("kernel %s is for %v, %v: a kernel for %s is needed", name, e.Machine, e.Class, Arch)
		}
	case n >= imageMagicAt+4 && binary.LittleEndian.Uint32(head[imageMagicAt:]) == imageMagic:
	default:
		return "", fmt.Errorf("kernel %s is not a Linux kernel for %s: an Image, plain or compressed, or an ELF file is needed", name, Arch)
	}
	return kernelVersion(f)
}

// kernelVersion looks for the banner.
func kernelVersion(f io.ReadSeeker) (string, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	const overlap = 256 // longer than any banner's part that matters
	buf := make([]byte, 1<<20)
	kept := 0
	for {
		n, err := io.ReadFull(f, buf[kept:])
		data := buf[:kept+n]
		if m := banner.FindSubmatch(data); m != nil {
			return string(m[1]), nil
		}
		if err != nil {
			return "", nil
		}
		kept = copy(buf, data[len(data)-overlap:])
	}
}

// checkBusybox refuses what cannot run in a guest that has nothing else.
func checkBusybox(name string) error {
	e, err := elf.Open(name)
	if err != nil {
		return fmt.Errorf("busybox %s: %w", name, err)
	}
	defer e.Close()
	if e.Machine != elf.EM_RISCV || e.Class != elf.ELFCLASS64 {
		return fmt.Errorf("busybox %s is for %v, %v: one for %s is needed", name, e.Machine, e.Class, Arch)
	}
	for _, p := range e.Progs {
		if p.Type == elf.PT_INTERP {
			return fmt.Errorf("busybox %s is dynamically linked: a static one is needed, as in Debian's busybox-static", name)
		}
	}
	return nil
}
