package suite

// What Linux tells of a process (proc(5)). Other hosts tell nothing.

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/vmproject/vm/internal/bench"
)

// procPath is a file of a process.
func procPath(pid int, name string) string { return fmt.Sprintf("/proc/%d/%s", pid, name) }

// needProc says that the host has no /proc.
func needProc() error {
	if runtime.GOOS != "linux" {
		return bench.Unavailable("%s does not tell as Linux's /proc does", runtime.GOOS)
	}
	return nil
}

// cpuTimes is what each thread of a process has had of processors.
func cpuTimes(pid int) (map[string]time.Duration, error) {
	threads, err := os.ReadDir(procPath(pid, "task"))
	if err != nil {
		return nil, err
	}
	times := make(map[string]time.Duration)
	for _, thread := range threads {
		text, err := os.ReadFile(procPath(pid, "task/"+thread.Name()+"/schedstat"))
		if missing(err) && len(threads) > 1 { // it has ended, or this kernel does not count
			continue
		}
		if err != nil {
			return nil, err
		}
		if times[thread.Name()], err = parseSchedstat(string(text)); err != nil {
			return nil, err
		}
	}
	if len(times) == 0 {
		return nil, errors.New("/proc has no schedstat of the process")
	}
	return times, nil
}

// parseSchedstat reads /proc/PID/task/TID/schedstat: nanoseconds on a processor, and two numbers more.
func parseSchedstat(text string) (time.Duration, error) {
	fields := strings.Fields(text)
	if len(fields) == 3 {
		if ns, err := strconv.ParseInt(fields[0], 10, 64); err == nil && ns >= 0 {
			return time.Duration(ns), nil
		}
	}
	return 0, fmt.Errorf("/proc tells %q of a thread", text)
}

// spent is the time between two measurements. Threads that ended between them are lost.
func spent(before, after map[string]time.Duration) (sum time.Duration) {
	for thread, t := range after {
		sum += t - before[thread]
	}
	return sum
}

// residentOverhead is what a process has in memory, its shares of pages that it shares (Pss), without the guest's memory: that is a mapping of a
// memfd or of a file without a name, of at least so many bytes.
func residentOverhead(pid int, guest uint64) (uint64, error) {
	text, err := os.ReadFile(procPath(pid, "smaps"))
	if err != nil {
		return 0, err
	}
	return parseSmaps(text, guest)
}

func parseSmaps(text []byte, guest uint64) (overhead uint64, err error) {
	ram, inRAM := false, false
	s := bufio.NewScanner(bytes.NewReader(text))
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		fields := strings.Fields(s.Text())
		if len(fields) == 0 {
			continue
		}
		if !strings.HasSuffix(fields[0], ":") { // START-END PERMISSIONS OFFSET DEVICE INODE NAME
			from, to, _ := strings.Cut(fields[0], "-")
			start, err1 := strconv.ParseUint(from, 16, 64)
			end, err2 := strconv.ParseUint(to, 16, 64)
			if len(fields) < 5 || err1 != nil || err2 != nil || end < start {
				return 0, fmt.Errorf("/proc tells %q of a mapping", s.Text())
			}
			deleted := len(fields) > 5 && fields[len(fields)-1] == "(deleted)"
			inRAM = deleted && end-start >= guest
			ram = ram || inRAM
			continue
		}
		if fields[0] == "Pss:" && !inRAM {
			if len(fields) < 2 {
				return 0, fmt.Errorf("/proc tells %q of a mapping", s.Text())
			}
			kib, err := strconv.ParseUint(fields[1], 10, 48)
			if err != nil {
				return 0, fmt.Errorf("/proc tells %q of a mapping", s.Text())
			}
			overhead += kib << 10
		}
	}
	if !ram {
		return 0, errors.New("the guest's memory is not among the mappings of the process")
	}
	return overhead, s.Err()
}
