package code

// What ends a process, or changes it for good, is tried in a child: this test binary again, with the name of an act in its environment.

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/vmproject/vm/internal/testtool"
)

const actVariable = "VM_CODE_TEST_ACT"

func TestMain(m *testing.M) {
	if name := os.Getenv(actVariable); name != "" {
		acts[name]()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

var acts = map[string]func(){
	"fault near zero, plain":    func() { fault(Enter, codeLoad, 8) },
	"fault near zero, detached": func() { fault(EnterDetached, codeLoad, 8) },
	"fault below entry, plain":  func() { fault(Enter, codePushLoad, 8) },
	"fault, plain":              func() { fault(Enter, codeLoad, 1<<40) },
	"fault, detached":           func() { fault(EnterDetached, codeLoad, 1<<40) },
	"int3, plain":               func() { fault(Enter, []byte{0xCC}, 0) },
	"int3, detached":            func() { fault(EnterDetached, []byte{0xCC}, 0) },
	"seccomp":                   seccomp,
}

var (
	codeLoad     = []byte{0x48, 0x8B, 0x45, 0x00, 0xC3}             // mov rax,[rbp]; ret
	codePushLoad = []byte{0x55, 0x48, 0x8B, 0x45, 0x00, 0x58, 0xC3} // push rbp; mov rax,[rbp]; pop rax; ret
)

func act(t *testing.T, name string) (output string, ok bool) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), actVariable+"="+name, "GOTRACEBACK=single")
	out, err := cmd.CombinedOutput()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out), err == nil
}

func fault(enter func(Addr, unsafe.Pointer) uint64, code []byte, base uintptr) {
	a, err := New(MinRegion, MinRegion)
	if err != nil {
		fmt.Println(err)
		return
	}
	r, _ := a.Open()
	b, _ := r.Alloc(len(code))
	copy(b.Bytes, code)
	defer func() { fmt.Println("recovered:", recover()) }()
	enter(b.Addr, *(*unsafe.Pointer)(unsafe.Pointer(&base)))
	fmt.Println("no fault")
}

// The facts that enter_linux_amd64.go tells about faults, so that a change of Go shows.
func TestFault(t *testing.T) {
	for _, c := range []struct {
		act       string
		recovered bool
		say       string
	}{
		{"fault near zero, plain", true, "nil pointer dereference"},
		{"fault near zero, detached", false, "SIGSEGV: segmentation violation"},
		{"fault below entry, plain", false, "fatal error: "},
		{"fault, plain", false, "fatal error: fault"},
		{"fault, detached", false, "SIGSEGV: segmentation violation"},
		{"int3, plain", false, "SIGTRAP: trace trap"},
		{"int3, detached", false, "SIGTRAP: trace trap"},
	} {
		t.Run(c.act, func(t *testing.T) {
			out, ok := act(t, c.act)
			if ok != c.recovered || strings.Contains(out, "recovered:") != c.recovered || !strings.Contains(out, c.say) {
				t.Errorf("survived: %v; said:\n%s", ok, out)
			}
		})
	}
}

func seccomp() {
	if err := testtool.Forbid(testtool.NoExecMappings); err != nil {
		fmt.Println("unfiltered:", err)
		return
	}
	_, err := New(1<<20, testRegion)
	fmt.Println("forbidden:", errors.Is(err, ErrForbidden), err)
}

func TestNewOnAHostThatForbids(t *testing.T) {
	out, _ := act(t, "seccomp")
	if strings.HasPrefix(out, "unfiltered:") {
		t.Skip("this host has no seccomp filters: ", out)
	}
	if !strings.HasPrefix(out, "forbidden: true ") {
		t.Error(out)
	}
}

func TestForbiddenIsPolicyOnly(t *testing.T) {
	for err, want := range map[error]bool{unix.EPERM: true, unix.EACCES: true, unix.ENOSYS: true, unix.ENOMEM: false, unix.EMFILE: false} {
		got := forbidden("mmap", err)
		if errors.Is(got, ErrForbidden) != want || !errors.Is(got, err) {
			t.Errorf("%v becomes %v", err, got)
		}
	}
}
