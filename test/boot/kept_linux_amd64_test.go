package boot

import (
	"regexp"
	"strconv"
	"testing"
)

// A second run has the translations that the first one made, unless it is told to do without. Flags that come last count.
func TestTranslationsAreKept(t *testing.T) {
	run := func(keep string) (made, taken int) {
		r := vm(t, nil, "run", "--engine", "jit", "--jit", "keep="+keep, "--stats", "--", "true")
		figure := func(name string) int {
			m := regexp.MustCompile(`(?m)^  ` + name + ` +(\d+)$`).FindStringSubmatch(r.stderr)
			if m == nil {
				t.Fatalf("status %d, and no %q in\n%s", r.code, name, r.stderr)
			}
			n, _ := strconv.Atoi(m[1])
			return n
		}
		return figure("blocks compiled"), figure("blocks of earlier runs")
	}
	run("on")
	if made, taken := run("on"); made > taken/2 {
		t.Errorf("the second run made %d blocks, and took %d", made, taken)
	}
	if made, taken := run("off"); taken != 0 || made < 10_000 {
		t.Errorf("without kept translations %d blocks were made, and %d taken", made, taken)
	}
}
