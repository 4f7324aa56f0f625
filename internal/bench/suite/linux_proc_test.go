package suite

import (
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

const smaps = `00400000-00500000 r-xp 00000000 08:01 1234 /usr/bin/vm
Size:               1024 kB
Rss:                 800 kB
Pss:                 400 kB
Pss_Dirty:             0 kB
VmFlags: rd ex mr mw me
7f0000000000-7f0020000000 rw-s 00000000 00:3a 99 /#99 (deleted)
Size:             524288 kB
Rss:              100000 kB
Pss:              100000 kB
7f0030000000-7f0030100000 rw-s 00000000 00:01 77 /memfd:vm-code (deleted)
Pss:                 256 kB
7f0040000000-7f00c0000000 rw-p 00000000 00:00 0
Pss:                  44 kB
`

func TestParseSmaps(t *testing.T) {
	got, err := parseSmaps([]byte(smaps), 512<<20)
	if want := uint64(400+256+44) << 10; got != want || err != nil {
		t.Errorf("%d, %v; want %d", got, err, want)
	}
	for text, want := range map[string]string{
		"":                                   "not among the mappings",
		smaps[:strings.Index(smaps, "7f00")]: "not among the mappings",
		"zz-1 r-xp 0 0:0 1\n":                "of a mapping",
		"nonsense\n":                         "of a mapping",
		"1000-2000 r-xp 0 0:0 1\nPss:\n":     "of a mapping",
		"1000-2000 r-xp 0 0:0 1\nPss: x\n":   "of a mapping",
	} {
		if _, err := parseSmaps([]byte(text), 512<<20); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func TestParseSchedstat(t *testing.T) {
	if got, err := parseSchedstat("1500 20 3\n"); got != 1500 || err != nil {
		t.Errorf("%v, %v", got, err)
	}
	for _, text := range []string{"", "1 2", "x 2 3", "-1 2 3"} {
		if _, err := parseSchedstat(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
	before, after := map[string]time.Duration{"1": 5, "2": 7}, map[string]time.Duration{"1": 6, "3": 10}
	if got := spent(before, after); got != 11 {
		t.Errorf("spent %d", got)
	}
}

// This process has used some of a processor.
func TestCPUTimes(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("there is no /proc")
	}
	before, err := cpuTimes(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for began := time.Now(); time.Since(began) < 20*time.Millisecond; {
	}
	after, err := cpuTimes(os.Getpid())
	if err != nil || spent(before, after) <= 0 {
		t.Errorf("spent %v, %v", spent(before, after), err)
	}
}
