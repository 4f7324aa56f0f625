package peer

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Machine is one of the two.
type Machine struct {
	Name   string // vm, qemu
	Memory int    // of the guest, in MiB
	boot   func(m *Machine, b Boot) []string
	user   func(m *Machine, u User) []string
}

// Boot is what a machine is started with: files, and a kernel command line. The first serial port is standard input and output.
type Boot struct {
	Kernel, Initrd string
	Append         string
	Disk           string    // a raw image; what is written to it is forgotten. Empty: none
	More           []RawDisk // behind it
}

// RawDisk is a raw image that is written to.
type RawDisk struct {
	Path    string
	Sector  int    // logical, in bytes
	Cache   string // none, writeback, ...; empty is each machine's own default
	Options string // of vm's -d, each with its comma; QEMU has none of them
}

// cache is the option, which vm and QEMU call alike.
func (d RawDisk) cache() string {
	if d.Cache == "" {
		return ""
	}
	return ",cache=" + d.Cache
}

// native has QEMU do with a disk past the page cache what it does best with it.
func (d RawDisk) native() string {
	if d.Cache != "none" {
		return ""
	}
	return ",aio=native"
}

// User is a start of the default guest's own user space (package userland), with the devices that it wants.
type User struct {
	Guest *Guest
	// Initrd is what Guest.User made, and Control a file for what the guest's init tells its host. vm needs neither: it makes its own.
	Initrd, Control string
	Command         []string // what Initrd runs; none: a shell
	// Shared has guest memory in a file of its own, which /proc can tell from the rest of the process. vm's always is.
	Shared bool
}

// Verify says what is wrong with how the command ended, by what the guest's init told QEMU. vm knows by itself, and exits with that status.
func (u User) Verify() error {
	text, err := os.ReadFile(u.Control)
	if err == nil && strings.TrimSpace(string(text)) != "exit 0" {
		err = fmt.Errorf("its command ended with %q", text)
	}
	return err
}

// VM is vm, as the executable path, with one of its engines and settings of its translator, or empty strings for its own choice.
func VM(path, engine, jit string, memory int) *Machine {
	m := &Machine{Name: "vm", Memory: memory}
	m.boot = func(m *Machine, b Boot) []string {
		args := append(m.vm(path, engine, jit), "-k", b.Kernel, "-i", b.Initrd, "-a", b.Append, "--no-reboot")
		if b.Disk != "" {
			args = append(args, "-d", commas(b.Disk)+",snapshot")
		}
		for _, d := range b.More {
			args = append(args, "-d", commas(d.Path)+",sector="+strconv.Itoa(d.Sector)+d.cache()+d.Options)
		}
		return args
	}
	m.user = func(m *Machine, u User) []string {
		args := m.vm(path, engine, jit)
		if len(u.Command) > 0 {
			args = append(append(args, "--"), u.Command...)
		}
		return args
	}
	return m
}

func (m *Machine) vm(path, engine, jit string) []string {
	args := []string{path, "run", "-m", strconv.Itoa(m.Memory) + "M"}
	if engine != "" {
		args = append(args, "--engine", engine)
	}
	if jit != "" {
		args = append(args, "--jit", jit)
	}
	return args
}

// QEMU is qemu-system-riscv64, as the executable path.
func QEMU(path string, memory int) *Machine {
	m := &Machine{Name: "qemu", Memory: memory}
	machine := func() []string {
		return []string{path, "-M", "virt", "-smp", "1", "-m", strconv.Itoa(memory), "-display", "none", "-monitor", "none", "-no-reboot"}
	}
	m.boot = func(_ *Machine, b Boot) []string {
		args := append(machine(), "-serial", "stdio", "-kernel", b.Kernel, "-initrd", b.Initrd, "-append", b.Append)
		if b.Disk != "" {
			args = append(args, "-drive", "if=none,id=disk,format=raw,snapshot=on,file="+commas(b.Disk), "-device", "virtio-blk-pci,drive=disk")
		}
		for i, d := range b.More {
			id := "more" + strconv.Itoa(i)
			args = append(args, "-drive", "if=none,id="+id+",format=raw"+d.cache()+d.native()+",file="+commas(d.Path),
				"-device", fmt.Sprintf("virtio-blk-pci,drive=%s,logical_block_size=%d,physical_block_size=4096", id, d.Sector))
		}
		return args
	}
	m.user = func(_ *Machine, u User) []string {
		args := machine()
		if u.Shared {
			args = append(args, "-object", "memory-backend-memfd,id=ram,share=on,size="+strconv.Itoa(memory)+"M", "-machine", "memory-backend=ram")
		}
		// The terminal is the serial port and the console at once, as vm's is.
		args = append(args, "-chardev", "stdio,id=terminal,mux=on,signal=off", "-serial", "chardev:terminal",
			"-kernel", u.Guest.Kernel, "-initrd", u.Initrd, "-append", userArgs(u.Command),
			"-device", "virtio-rng-pci", "-device", "virtio-serial-pci",
			"-chardev", "file,id=control,path="+commas(u.Control), "-device", "virtserialport,chardev=control,name=vm.control")
		if len(u.Command) == 0 {
			return append(args, "-device", "virtconsole,chardev=terminal,name=vm.console")
		}
		for _, port := range []string{"stdout", "stderr", "stdin"} {
			args = append(args, "-chardev", "null,id="+port, "-device", "virtserialport,chardev="+port+",name=vm."+port)
		}
		return args
	}
	return m
}

// Boot is the command line for a start.
func (m *Machine) Boot(b Boot) []string { return m.boot(m, b) }

// User is the command line for a start of the default guest.
func (m *Machine) User(u User) []string { return m.user(m, u) }

// commas writes a path so that an option does not end in it.
func commas(path string) string { return strings.ReplaceAll(path, ",", ",,") }
