package vm_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/vmproject/vm"
)

// A machine that runs one command of a guest and ends with its exit status. The paths are those of a guest that was imported; the
// command `vm image pull` obtains one.
func Example() {
	m, err := vm.New(vm.Config{
		Guest:   &vm.Guest{Name: "debian", Kernel: "vmlinuz", Busybox: "busybox"},
		Command: []string{"sh", "-c", "read name; echo hello, $name"},
		Stdin:   strings.NewReader("world\n"),
		Stdout:  os.Stdout,
		Stderr:  os.Stderr,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	status, err := m.Run(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("exit status", status.ExitCode)
}

// A machine with firmware instead of the built-in SBI, a kernel, and a disk whose changes are thrown away at its end.
func ExampleNew() {
	m, err := vm.New(vm.Config{
		Bios:   "fw_dynamic.bin",
		Kernel: "Image",
		Append: "root=/dev/vda ro",
		Disks:  []vm.Disk{{Path: "disk.img", Snapshot: true}},
		Memory: 1 << 30,
		CPUs:   2,
		Stdout: os.Stdout,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	if _, err := m.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
}
