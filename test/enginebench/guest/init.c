// Process 1 of the benchmark guest. It reads /bench/list, runs what is there one after the other, times each by the monotonic
// clock of the guest, and tells the host on the console, one line an event, each line in one write:
//
//	@bench init SECONDS             the guest's clock when process 1 began
//	@bench setup NAME               a benchmark is being prepared
//	@bench start NAME               its timed command begins
//	@bench stop NAME SECONDS        it has ended well after so long
//	@bench answer NAME "TEXT"       what it printed, followed by what its check printed
//	@bench fail NAME WHAT STATUS    a step ended with that status; nothing more of this benchmark follows
//	@bench end                      power-off is next
//
// Nothing is timed before the kernel has come to rest behind the boot. A line of /bench/list has the name, the folder that is the root of the file system, and three commands: preparation, the
// timed one and a check, separated by tabs. A command is words between blanks and has no shell; it may be empty. /bench/modules
// names kernel modules to load, in order. A disk, when there is one, is mounted at /mnt with /bench and fresh /tmp, /proc, /dev.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ANSWER "/tmp/.answer"

static void say(const char *format, ...) {
	char line[1024] = "@bench ";
	va_list args;
	va_start(args, format);
	int n = 7 + vsnprintf(line + 7, sizeof line - 9, format, args);
	va_end(args);
	if (n > (int)sizeof line - 2)
		n = sizeof line - 2;
	line[n++] = '\n';
	if (write(1, line, n) != n)
		_exit(1);
}

static double now(clockid_t clock) {
	struct timespec t;
	clock_gettime(clock, &t);
	return t.tv_sec + t.tv_nsec * 1e-9;
}

// run runs one command with its output appended to ANSWER, and returns its exit status, or 128 and the signal.
static int run(const char *root, char *command) {
	char *argv[64], *save = NULL;
	int argc = 0;
	for (char *w = strtok_r(command, " ", &save); w && argc < 63; w = strtok_r(NULL, " ", &save))
		argv[argc++] = w;
	argv[argc] = NULL;
	if (argc == 0)
		return 0;
	pid_t pid = fork();
	if (pid == 0) {
		static char *env[] = {"PATH=/usr/bin:/bin:/bench", "HOME=/root", "LC_ALL=C", "TMPDIR=/tmp", NULL};
		int out = open(ANSWER, O_WRONLY | O_CREAT | O_APPEND, 0644), in = open("/dev/null", O_RDONLY);
		if (out < 0 || in < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || chroot(root) || chdir("/tmp"))
			_exit(126);
		close(out);
		close(in);
		execvpe(argv[0], argv, env);
		dprintf(2, "%s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	int status;
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return 125;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void tell_answer(const char *name) {
	char text[512];
	int fd = open(ANSWER, O_RDONLY);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text);
	close(fd);
	if (n < 0 || n == sizeof text) {
		say("fail %s answer %zd", name, n);
		return;
	}
	while (n > 0 && text[n - 1] == '\n')
		n--;
	for (ssize_t i = 0; i < n; i++)
		if (text[i] == '\n')
			text[i] = ' ';
	say("answer %s \"%.*s\"", name, (int)n, text);
}

static void benchmark(char *line) {
	char *name = strsep(&line, "\t"), *root = strsep(&line, "\t");
	char *setup = strsep(&line, "\t"), *command = strsep(&line, "\t"), *check = strsep(&line, "\t");
	if (!check)
		return;
	int status;
	unlink(ANSWER);
	say("setup %s", name);
	if ((status = run(root, setup))) {
		say("fail %s setup %d", name, status);
		return;
	}
	unlink(ANSWER);
	sync();
	say("start %s", name);
	double began = now(CLOCK_MONOTONIC);
	status = run(root, command);
	double took = now(CLOCK_MONOTONIC) - began;
	if (status) {
		say("fail %s command %d", name, status);
		return;
	}
	say("stop %s %.9f", name, took);
	if ((status = run(root, check))) {
		say("fail %s check %d", name, status);
		return;
	}
	tell_answer(name);
}

static void load(char *module) {
	int fd = open(module, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || syscall(SYS_finit_module, fd, "", 0))
		dprintf(2, "%s: %s\n", module, strerror(errno));
	close(fd);
}

// idle is how long the processor has had nothing to do since the start, in seconds.
static double idle(void) {
	double up = 0, spare = 0;
	FILE *file = fopen("/proc/uptime", "re");
	if (file) {
		if (fscanf(file, "%lf %lf", &up, &spare) != 2)
			spare = 0;
		fclose(file);
	}
	return spare;
}

// settle waits until the kernel has done what it does behind a boot, such as tests of its cryptography: the first benchmark would pay for it. A machine
// that never is idle begins after a while all the same.
static void settle(void) {
	const double most = 30, watch = 0.25;
	struct timespec pause = {0, watch * 1e9};
	for (double began = now(CLOCK_MONOTONIC); now(CLOCK_MONOTONIC) - began < most;) {
		double before = idle(), at = now(CLOCK_MONOTONIC);
		nanosleep(&pause, NULL);
		if (idle() - before > 0.9 * (now(CLOCK_MONOTONIC) - at))
			return;
	}
}

// each calls f with every line of a file.
static void each(const char *path, void (*f)(char *)) {
	char line[1024];
	FILE *file = fopen(path, "re");
	while (file && fgets(line, sizeof line, file)) {
		line[strcspn(line, "\n")] = 0;
		f(line);
	}
	if (file)
		fclose(file);
}

static void must_mount(const char *what, const char *where, const char *type, unsigned long flags) {
	if (mount(what, where, type, flags, NULL))
		dprintf(2, "mount %s on %s: %s\n", what, where, strerror(errno));
}

int main(void) {
	say("init %.9f", now(CLOCK_BOOTTIME));
	must_mount("proc", "/proc", "proc", 0);
	must_mount("dev", "/dev", "devtmpfs", 0);
	must_mount("tmp", "/tmp", "tmpfs", 0);
	each("/bench/modules", load);
	if (access("/dev/vda", F_OK) == 0) {
		must_mount("/dev/vda", "/mnt", "ext4", MS_NOATIME);
		mkdir("/mnt/bench", 0755);
		must_mount("/bench", "/mnt/bench", NULL, MS_BIND);
		must_mount("/tmp", "/mnt/tmp", NULL, MS_BIND);
		must_mount("proc", "/mnt/proc", "proc", 0);
		must_mount("dev", "/mnt/dev", "devtmpfs", 0);
	}
	settle();
	each("/bench/list", benchmark);
	say("end");
	sync();
	umount2("/mnt", MNT_DETACH);
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}
