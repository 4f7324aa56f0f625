package initramfs

// Kernel modules. Busybox's insmod wants them unpacked, and distributions ship them packed.

import (
	"fmt"
	"os"
	"strings"

	"github.com/vmproject/vm/internal/boot/unpack"
)

// maxModule bounds a module in bytes, packed and unpacked: the largest real ones have some 20 MiB.
const maxModule = 64 << 20

// Module adds a kernel module of the host, unpacked, at the guest path name. The file may be compressed (.ko.xz, .ko.zst,
// .ko.gz): its contents say how, whatever it is called.
func (a *Archive) Module(host, name string) error {
	data, err := ReadModule(host)
	if err != nil {
		return err
	}
	return a.File(name, 0o644, data)
}

// ReadModule reads and unpacks a kernel module of the host.
func ReadModule(host string) ([]byte, error) {
	st, err := os.Stat(host)
	if err != nil {
		return nil, fmt.Errorf("kernel module: %w", err)
	}
	if st.Size() > maxModule {
		return nil, fmt.Errorf("kernel module %s: %d bytes are more than a module has", host, st.Size())
	}
	data, err := os.ReadFile(host)
	if err != nil {
		return nil, fmt.Errorf("kernel module: %w", err)
	}
	if data, err = unpack.Bytes(data, maxModule); err != nil {
		return nil, fmt.Errorf("kernel module %s: %w", host, err)
	}
	if !strings.HasPrefix(string(data[:min(4, len(data))]), "\x7fELF") {
		return nil, fmt.Errorf("kernel module %s: it is not an ELF file", host)
	}
	return data, nil
}
