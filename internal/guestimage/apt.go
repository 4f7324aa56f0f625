package guestimage

// apt-get in a private configuration: its own lists, cache, status file, sources and architecture, below the cache folder. Of the
// host's configuration it keeps what says how to reach the network (proxies, authentication, retries) and whom to trust
// (keyrings); nothing of the host's apt state is read or written, and the host's hooks do not run.

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// aptHost is where the host keeps things. Tests have their own.
type aptHost struct {
	aptGet   string   // the program, looked up in PATH
	list     string   // sources.list
	parts    string   // sources.list.d
	keyrings []string // where the Debian archive's keys are, best first
}

var debianHost = aptHost{
	aptGet:   "apt-get",
	list:     "/etc/apt/sources.list",
	parts:    "/etc/apt/sources.list.d",
	keyrings: []string{"/usr/share/keyrings/debian-archive-keyring.pgp", "/usr/share/keyrings/debian-archive-keyring.gpg"},
}

// apt is a private configuration on disk.
type apt struct {
	program string
	dir     string
	log     *slog.Logger
}

// aptConf is read after the host's own configuration, so each line here has the last word. Hooks and default releases of the
// host are cleared: the first would touch the host's state, the second would name suites that are not in our sources. Without
// Error-Mode, a mirror that cannot be reached is a mere warning, and old lists would be used without a word.
const aptConf = `Dir::State "%[1]s/state";
Dir::State::lists "%[1]s/state/lists";
Dir::State::status "%[1]s/state/status";
Dir::State::extended_states "%[1]s/state/extended_states";
Dir::Cache "%[1]s/cache";
Dir::Cache::archives "%[1]s/cache/archives";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "%[1]s/sources.list.d";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::Log "%[1]s/log";
#clear APT::Architectures;
#clear APT::Default-Release;
#clear APT::Update;
#clear DPkg::Pre-Invoke;
#clear DPkg::Post-Invoke;
APT::Update::Error-Mode "any";
APT::Architecture "%[2]s";
APT::Architectures:: "%[2]s";
APT::Sandbox::User "root";
APT::Get::AllowUnauthenticated "false";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowWeakRepositories "false";
Acquire::AllowDowngradeToInsecureRepositories "false";
Acquire::GzipIndexes "true";
Acquire::Languages "none";
Acquire::PDiffs "false";
`

// newApt writes the configuration. dir is made if need be and kept between pulls.
func newApt(program, dir string, src Source, log *slog.Logger) (*apt, error) {
	for _, value := range []string{dir, src.URI, src.Suite} {
		if strings.ContainsAny(value, "\"\n\r\\") {
			return nil, fmt.Errorf("apt cannot hold %q in its configuration: use a path and an address without quotes, backslashes and line breaks", value)
		}
	}
	if strings.ContainsAny(src.URI+src.Suite, " \t") {
		return nil, fmt.Errorf("mirror %q, suite %q: no spaces in an address or a suite", src.URI, src.Suite)
	}
	for _, sub := range []string{"state/lists/partial", "cache/archives/partial", "sources.list.d", "debs", "log"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, err
		}
	}
	var sources strings.Builder
	fmt.Fprintf(&sources, "Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nArchitectures: %s\nTargets: Packages\n", src.URI, src.Suite, Arch)
	if src.SignedBy != "" {
		fmt.Fprintf(&sources, "Signed-By: %s\n", deb822Value(src.SignedBy))
	}
	for name, content := range map[string]string{
		"apt.conf":                  fmt.Sprintf(aptConf, dir, Arch),
		"sources.list.d/vm.sources": sources.String(),
		"state/status":              "",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			return nil, err
		}
	}
	return &apt{program: program, dir: dir, log: log}, nil
}

// deb822Value writes a field that may have several lines, as an embedded key has.
func deb822Value(s string) string {
	lines := strings.Split(s, "\n")
	for i, line := range lines[1:] {
		if line == "" {
			line = "."
		}
		lines[i+1] = " " + line
	}
	return strings.Join(lines, "\n")
}

// debs is the folder that download puts packages in.
func (a *apt) debs() string { return filepath.Join(a.dir, "debs") }

// update fetches the list of packages and verifies its signature.
func (a *apt) update(ctx context.Context, fraction func(float64)) error {
	_, err := a.run(ctx, fraction, "update")
	return err
}

// checkCodename says whether the release whose list was fetched is the one of that code name, by its signed Release file.
func (a *apt) checkCodename(ctx context.Context, want string) error {
	out, err := a.run(ctx, nil, "indextargets", "--format", "$(CODENAME)")
	if err != nil {
		return err
	}
	got := strings.Fields(string(out))
	if len(got) == 0 || slices.ContainsFunc(got, func(name string) bool { return name != want }) {
		return fmt.Errorf("the mirror's release is %q, not %s", got, want)
	}
	return nil
}

// debURI is what apt is about to fetch.
type debURI struct {
	file   string // in debs
	size   int64  // bytes
	digest Digest // from the signed list
}

// plan asks what download would fetch.
func (a *apt) plan(ctx context.Context, packages ...string) ([]debURI, error) {
	out, err := a.run(ctx, nil, append([]string{"download", "--print-uris"}, packages...)...)
	if err != nil {
		return nil, err
	}
	uris := parseURIs(out)
	if len(uris) != len(packages) {
		return nil, fmt.Errorf("apt-get names %d files for %d packages: %s", len(uris), len(packages), strings.Join(packages, ", "))
	}
	return uris, nil
}

// parseURIs reads lines of 'URI' FILE SIZE SHA256:HEX.
func parseURIs(out []byte) []debURI {
	var uris []debURI
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		if len(words) < 4 || !strings.HasPrefix(words[0], "'") {
			continue
		}
		size, err := strconv.ParseInt(words[2], 10, 64)
		hex, ok := strings.CutPrefix(words[3], "SHA256:")
		if err != nil || size < 0 || !ok || !digestForm.MatchString(hex) || words[1] != filepath.Base(words[1]) {
			continue
		}
		uris = append(uris, debURI{file: words[1], size: size, digest: Digest(hex)})
	}
	return uris
}

// download fetches packages into debs and verifies them against the signed list.
func (a *apt) download(ctx context.Context, fraction func(float64), packages ...string) error {
	_, err := a.run(ctx, fraction, append([]string{"download"}, packages...)...)
	return err
}

// stopDelay is how long apt-get has to end after it was interrupted.
const stopDelay = 5 * time.Second

// run runs apt-get and returns its output. fraction, when not nil, is told how much of a download is done, 0 to 1.
func (a *apt) run(ctx context.Context, fraction func(float64), args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, a.program, append([]string{"-c", filepath.Join(a.dir, "apt.conf"), "-q"}, args...)...)
	cmd.Dir = a.debs()
	cmd.Env = append(os.Environ(), "LC_ALL=C", "LANGUAGE=")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = stopDelay
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr

	var status *os.File // our copy of the end that apt-get writes to
	statusRead := make(chan struct{})
	if fraction != nil {
		r, w, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		defer r.Close()
		status = w
		cmd.ExtraFiles = []*os.File{w}
		cmd.Args = append(cmd.Args[:1:1], append([]string{"-o", "APT::Status-Fd=3"}, cmd.Args[1:]...)...)
		go func() {
			defer close(statusRead)
			readStatus(r, fraction)
		}()
	}
	a.log.Debug("run", "command", cmd.Args)
	err := cmd.Start()
	if status != nil {
		status.Close() // only apt-get's copy keeps the pipe open now, so its end is the reader's
	}
	if err == nil {
		err = cmd.Wait()
	}
	if status != nil {
		<-statusRead
	}
	a.log.Debug("apt-get ended", "error", err, "stdout", stdout.String(), "stderr", stderr.String())
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if errors.Is(err, exec.ErrNotFound) {
		return nil, ErrNoApt
	}
	if err != nil {
		return nil, fmt.Errorf("apt-get %s: %w", args[0], aptError(stderr.String(), err))
	}
	return stdout.Bytes(), nil
}

// readStatus reads the lines that apt writes to APT::Status-Fd: dlstatus:ITEM:PERCENT:TEXT.
func readStatus(r io.Reader, fraction func(float64)) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		fields := strings.SplitN(lines.Text(), ":", 4)
		if len(fields) < 3 || fields[0] != "dlstatus" {
			continue
		}
		if percent, err := strconv.ParseFloat(fields[2], 64); err == nil {
			fraction(min(max(percent, 0), 100) / 100)
		}
	}
	_, _ = io.Copy(io.Discard, r) // after a line too long for the scanner: apt must not block on a full pipe
}

// aptHints say what to do about what apt complains of, in the order they are tried.
var aptHints = []struct {
	pattern *regexp.Regexp
	hint    string
}{
	{regexp.MustCompile(`Mirror sync in progress|Hash Sum mismatch|unexpected size`),
		"the mirror is being updated, or holds files that its signed index does not describe: try again later, or name another with --mirror URL"},
	{regexp.MustCompile(`does not have a Release file|[^0-9]40[0-9] `),
		"the mirror does not have this release for " + Arch + ": name Debian's main archive with --mirror URL"},
	{regexp.MustCompile(`NO_PUBKEY|not signed|Missing key|couldn't be verified|keyring`),
		"the signature cannot be checked with this host's keys: install the package debian-archive-keyring"},
	{regexp.MustCompile(`Could not resolve|Temporary failure|Could not connect|Connection|Unable to connect|timed out`),
		"check the network and apt's proxy settings, or name a mirror that can be reached with --mirror URL"},
	{regexp.MustCompile(`Unable to locate package|No packages found|Can't find a source`),
		"the mirror does not have this package: name Debian's main archive with --mirror URL"},
	{regexp.MustCompile(`No space left`), "make room in the cache folder"},
}

// aptError makes one line of apt's complaints: the first error, and what to do about it if that is known.
func aptError(stderr string, err error) error {
	first := ""
	for line := range strings.Lines(stderr) {
		if text, ok := strings.CutPrefix(strings.TrimSpace(line), "E: "); ok {
			first = text
			break
		}
	}
	if first == "" {
		return err
	}
	for _, h := range aptHints {
		if h.pattern.MatchString(stderr) {
			return fmt.Errorf("%s: %s", first, h.hint)
		}
	}
	return errors.New(first)
}
