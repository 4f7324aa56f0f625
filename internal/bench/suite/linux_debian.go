package suite

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/vmproject/vm/internal/bench"
	"github.com/vmproject/vm/internal/bench/peer"
)

// debianBenchmarks are debian/*: programs of Debian on a disk, each in a guest of its own, by the guest's clock.
func debianBenchmarks() []bench.Benchmark {
	var all []bench.Benchmark
	for i := range peer.DebianPrograms {
		d := &peer.DebianPrograms[i]
		all = append(all, onBoth(bench.Benchmark{
			Name:  "debian/" + d.Name,
			Doc:   "In a guest of Linux with Debian's programs on a disk: " + d.Doc + ". What it prints is compared.",
			Unit:  bench.Seconds,
			Whole: true,
		}, func(env *bench.Env, on side) (bench.Instance, error) { return newDebian(env, on, d) }))
	}
	return all
}

// amountOf is how much a program does: about a second's work for QEMU. gcc's full amount takes it half a minute.
func amountOf(d *peer.DebianProgram) peer.Amount {
	if d.Name == "gcc" {
		return d.Small
	}
	return d.Full
}

// debianDisk is the disk that test/enginebench has made. Making it fetches a hundred packages, and is not done here.
func debianDisk() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	disk, err := peer.FindDisk(filepath.Join(cache, "vm-bench"))
	if missing(err) {
		return "", bench.Unavailable("the disk with Debian's programs is not here: run make bench-engine once, which fetches them by apt-get")
	}
	return disk, err
}

func newDebian(env *bench.Env, on side, d *peer.DebianProgram) (bench.Instance, error) {
	disk, err := debianDisk()
	if err != nil {
		return nil, err
	}
	files, err := debianFiles(d)
	if err != nil {
		return nil, err
	}
	s, err := newSession(env, on, files, disk)
	if err != nil {
		return nil, err
	}
	return bench.Sampled(func(ctx context.Context, n int) (float64, error) {
		return mean(n, func() (float64, error) {
			took, err := runDebian(ctx, s, d)
			return took.Seconds(), err
		})
	}, s.Close), nil
}

// runDebian runs the program once.
func runDebian(ctx context.Context, s *session, d *peer.DebianProgram) (time.Duration, error) {
	reply, host, err := s.ask(ctx, "program "+d.Name)
	if err != nil {
		return 0, err
	}
	took, err := parseProgram(reply, amountOf(d).Answer)
	if err == nil {
		err = plausible(took, host)
	}
	if err != nil {
		s.stop()
		return 0, fmt.Errorf("%s: %s: %w", s.machine.Name, d.Name, err)
	}
	return took, nil
}

// parseProgram reads "time 1 NANOSECONDS 0 ANSWER".
func parseProgram(reply, answer string) (time.Duration, error) {
	fields := strings.SplitN(reply, " ", 5)
	took, err := parseLine(strings.Join(fields[:min(4, len(fields))], " "), "time", 1, 0)
	if err != nil {
		return 0, err
	}
	if got := strings.Join(fields[4:], ""); got != answer {
		return 0, fmt.Errorf("wrong answer %q, want %q", got, answer)
	}
	return took, nil
}

// debianFiles are what a program needs in /bench. NAME.run is for linux_init.sh: functions that run in the guest's first shell.
func debianFiles(d *peer.DebianProgram) (map[string][]byte, error) {
	texts, err := d.Files(amountOf(d).Size)
	if err != nil {
		return nil, err
	}
	files := make(map[string][]byte)
	for name, text := range texts {
		files[name] = []byte(text)
	}
	warm := d.Warm
	if d.Data {
		files["data"] = peer.Text(amountOf(d).Size)
		warm = "cp /bench/data /tmp/data"
	}
	var run strings.Builder
	for _, part := range []struct{ name, before, command string }{
		{"warm", "", warm}, {"measured", "/bench/bench time /usr/bin/", d.Command}, {"check", "", d.Check},
	} {
		if part.command != "" {
			fmt.Fprintf(&run, "%s() { inside %s%s; }\n", part.name, part.before, peer.Fill(part.command, amountOf(d).Size))
		}
	}
	files[d.Name+".run"] = []byte(run.String())
	return files, nil
}
