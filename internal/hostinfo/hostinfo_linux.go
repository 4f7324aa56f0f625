package hostinfo

// Linux: what /proc and /sys tell, and one try each of KVM and of memory for code.

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/cpu"
	"golang.org/x/sys/unix"
)

func kernelRelease() string { return ", Linux " + readFile("/proc/sys/kernel/osrelease") }

func cpuFact() Fact {
	info := fields(readFile("/proc/cpuinfo"))
	for _, name := range []string{"model name", "Model", "CPU part"} {
		if v := info[name]; v != "" {
			return Fact{Name: "processor", Value: v}
		}
	}
	return Fact{Name: "processor", Value: unknown}
}

// processorFlags is what Linux says of the processor. Some hypervisors make it leave out LZCNT, which programs can execute all the same.
func processorFlags(info map[string]string) []string {
	flags := strings.Fields(info["flags"])
	if cpu.X86.HasLZCNT && !slices.Contains(flags, "abm") {
		flags = append(flags, "abm")
	}
	return flags
}

func featureFacts() []Fact {
	info := fields(readFile("/proc/cpuinfo"))
	if runtime.GOARCH != "amd64" {
		return []Fact{{Name: "features", Value: info["Features"]}}
	}
	flags := processorFlags(info)
	have, missing := x86Features(flags)
	f := Fact{Name: "features", Value: strings.Join(have, ", ")}
	if len(missing) > 0 {
		f.Note = "missing: " + strings.Join(missing, ", ")
	}
	return []Fact{{Name: "level", Value: x86Level(flags)}, f}
}

func memoryFact() Fact {
	info := fields(readFile("/proc/meminfo"))
	return Fact{Name: "memory", Value: kib(info["MemTotal"]) + ", " + kib(info["MemAvailable"]) + " available"}
}

// kib reads a number as /proc/meminfo has it: "24689764 kB".
func kib(s string) string {
	n, err := strconv.ParseUint(strings.TrimSuffix(s, " kB"), 10, 64)
	if err != nil {
		return unknown
	}
	return mib(n << 10)
}

func hugePages() Fact {
	f := Fact{Name: "huge pages", Value: unknown}
	if thp := readFile("/sys/kernel/mm/transparent_hugepage/enabled"); thp != "" {
		f.Value = "transparent: " + bracketed(thp)
		if bracketed(thp) == "never" {
			f.Note = "guest memory gets small pages only: root can write madvise to /sys/kernel/mm/transparent_hugepage/enabled"
		}
	}
	if shmem := readFile("/sys/kernel/mm/transparent_hugepage/shmem_enabled"); shmem != "" {
		f.Value += ", shared memory: " + bracketed(shmem)
	}
	info := fields(readFile("/proc/meminfo"))
	if total := info["HugePages_Total"]; total != "" && total != "0" {
		f.Value += fmt.Sprintf(", reserved: %s of %s, %s free", total, kib(info["Hugepagesize"]), info["HugePages_Free"])
	}
	return f
}

func numaNodes() Fact {
	nodes, _ := filepath.Glob("/sys/devices/system/node/node[0-9]*") // the pattern is well formed
	if len(nodes) == 0 {
		return Fact{Name: "NUMA nodes", Value: "1", Note: "the kernel tells of none"}
	}
	return Fact{Name: "NUMA nodes", Value: strconv.Itoa(len(nodes))}
}

func kvm() Fact {
	f := Fact{Name: "KVM", Note: "not needed for riscv64 guests"}
	dev, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	switch {
	case err == nil:
		dev.Close()
		f.Value = "yes"
	case errors.Is(err, fs.ErrNotExist):
		f.Value = "no"
	case errors.Is(err, fs.ErrPermission):
		f.Value = "there, but not for this user"
	default:
		f.Value = "there, but it does not open: " + err.Error()
	}
	return f
}

// jitMemory tries what a translator does: one memory, mapped once to write and once to execute, never both.
func jitMemory() Fact {
	f := Fact{Name: "JIT memory", Value: "yes"}
	if what, err := tryJITMemory(os.Getpagesize()); err != nil {
		f.Value = fmt.Sprintf("no: %s: %v", what, err)
		f.Note = "the interpreter still works; a security policy (SELinux, seccomp, noexec) forbids generated code"
	}
	return f
}

func tryJITMemory(size int) (what string, err error) {
	fd, err := unix.MemfdCreate("vm-doctor", unix.MFD_CLOEXEC)
	if err != nil {
		return "memfd_create", err
	}
	defer unix.Close(fd)
	if err := unix.Ftruncate(fd, int64(size)); err != nil {
		return "ftruncate", err
	}
	for _, m := range []struct {
		what string
		prot int
	}{{"map to write", unix.PROT_READ | unix.PROT_WRITE}, {"map to execute", unix.PROT_READ | unix.PROT_EXEC}} {
		mem, err := unix.Mmap(fd, 0, size, m.prot, unix.MAP_SHARED)
		if err != nil {
			return m.what, err
		}
		defer unix.Munmap(mem)
	}
	return "", nil
}
