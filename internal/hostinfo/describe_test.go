package hostinfo

import "testing"

func TestSteal(t *testing.T) {
	for _, c := range []struct {
		now, since CPUTimes
		want       float64
	}{
		{CPUTimes{200, 0, 50}, CPUTimes{100, 0, 25}, 0.25},
		{CPUTimes{100, 0, 50}, CPUTimes{100, 0, 50}, 0},
		{CPUTimes{}, CPUTimes{}, 0},
	} {
		if got := c.now.Steal(c.since); got != c.want {
			t.Errorf("%v since %v: %v, want %v", c.now, c.since, got, c.want)
		}
	}
}

func TestThisHostIsDescribed(t *testing.T) {
	d := Describe()
	if d.CPU == "" || d.Kernel == "" || d.Memory == 0 {
		t.Errorf("%+v", d)
	}
	if OwnTime() <= 0 {
		t.Error("this process has used no time")
	}
	if d, ok := (CPUTimes{300, 100, 50}).Busy(CPUTimes{100, 50, 25}); !ok || d != 125*tick {
		t.Errorf("busy for %v, %v", d, ok)
	}
}
