package guestimage

// What a kernel module says of itself: the .modinfo section of its ELF file, a list of NUL-terminated key=value strings. It
// replaces modules.dep, which depmod makes when a kernel is installed and which the package does not hold.

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"strings"
)

// modInfo is the part of .modinfo that load order depends on. Names are the kernel's, with '_' for '-'.
type modInfo struct {
	name    string
	depends []string // must be loaded before
	softPre []string // should be loaded before if there is such a thing: module names, or aliases such as crypto-crc32c
	aliases []string // fs-NAME: what the kernel asks for when that file system is mounted
	version string   // the kernel release it was built for: the first word of vermagic
}

// maxModInfo bounds the section in bytes.
const maxModInfo = 1 << 20

var errNotModule = errors.New("not a kernel module for " + Arch)

// readModInfo reads a decompressed module.
func readModInfo(r io.ReaderAt) (modInfo, error) {
	f, err := elf.NewFile(r)
	if err != nil {
		return modInfo{}, fmt.Errorf("%w: %w", errNotModule, err)
	}
	if f.Machine != elf.EM_RISCV || f.Class != elf.ELFCLASS64 || f.Type != elf.ET_REL {
		return modInfo{}, fmt.Errorf("%w: it is %v, %v, %v", errNotModule, f.Class, f.Machine, f.Type)
	}
	s := f.Section(".modinfo")
	if s == nil || s.Size > maxModInfo {
		return modInfo{}, fmt.Errorf("%w: no .modinfo", errNotModule)
	}
	data, err := s.Data()
	if err != nil {
		return modInfo{}, fmt.Errorf("%w: .modinfo: %w", errNotModule, err)
	}
	return parseModInfo(data), nil
}

func parseModInfo(data []byte) modInfo {
	var info modInfo
	for item := range bytes.SplitSeq(data, []byte{0}) {
		key, value, _ := strings.Cut(string(item), "=")
		switch key {
		case "name":
			info.name = moduleName(value)
		case "depends":
			for name := range strings.SplitSeq(value, ",") {
				if name != "" {
					info.depends = append(info.depends, moduleName(name))
				}
			}
		case "softdep":
			info.softPre = append(info.softPre, softPre(value)...)
		case "alias":
			if strings.HasPrefix(value, "fs-") {
				info.aliases = append(info.aliases, value)
			}
		case "vermagic":
			info.version, _, _ = strings.Cut(value, " ")
		}
	}
	return info
}

// softPre takes the names after "pre:" of a softdep, up to "post:".
func softPre(value string) []string {
	var names []string
	pre := false
	for _, word := range strings.Fields(value) {
		switch word {
		case "pre:":
			pre = true
		case "post:":
			pre = false
		default:
			if pre {
				names = append(names, moduleName(word))
			}
		}
	}
	return names
}

// moduleName is what the kernel calls the module of that file or alias.
func moduleName(s string) string { return strings.ReplaceAll(s, "-", "_") }

// moduleFile takes a module's name from the name of its file, compressed or not.
func moduleFile(base string) (name string, ok bool) {
	for _, suffix := range []string{".ko", ".ko.xz", ".ko.zst", ".ko.gz"} {
		if name, ok := strings.CutSuffix(base, suffix); ok && moduleForm.MatchString(moduleName(name)) {
			return moduleName(name), true
		}
	}
	return "", false
}
