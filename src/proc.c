#include "proc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- one process -------------------------------------------------------- */

int proc_open(struct proc *p, pid_t pid)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	p->pid = pid;
	p->dir = pid > 0 ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	return p->dir >= 0 ? 0 : pid > 0 ? -errno : -ESRCH;
}

void proc_close(struct proc *p)
{
	if (p->dir >= 0)
		close(p->dir);
	p->dir = -1;
}

int proc_read(const struct proc *p, const char *file, struct buf *b)
{
	_cleanup_fd_ int fd = openat(p->dir, file, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : buf_read_fd(b, fd, 1 << 20);
}

/* What follows "KEY:" in /proc/PID/status. A name there ends its line: its own
 * line ends are escaped (proc(5)). */
static const char *status_line(const char *status, const char *key)
{
	_cleanup_free_ char *want = xasprintf("\n%s:", key);
	const char *at = strstr(status, want);

	return at ? at + strlen(want) : NULL;
}

unsigned long proc_number(const struct proc *p, const char *key, int base)
{
	_cleanup_buf_ struct buf b = { 0 };
	const char *at;

	if (proc_read(p, "status", &b) < 0)
		return 0;
	at = status_line(buf_str(&b), key);
	return at ? strtoul(at, NULL, base) : 0;
}

/* Is what this name leads to the same for us? */
static bool same_ns(const struct proc *p, const char *ns)
{
	_cleanup_free_ char *mine = xasprintf("/proc/self/%s", ns);
	struct stat a, b;

	return fstatat(p->dir, ns, &a, 0) == 0 && stat(mine, &b) == 0 &&
	       a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

bool proc_is_root(const struct proc *p)
{
	_cleanup_buf_ struct buf b = { 0 };
	const char *at;
	unsigned int id[4];

	if (proc_read(p, "status", &b) < 0)
		return false;
	at = status_line(buf_str(&b), "Uid");
	return at && sscanf(at, " %u %u %u %u", &id[0], &id[1], &id[2],
			    &id[3]) == 4 &&
	       !(id[0] | id[1] | id[2] | id[3]) && same_ns(p, "ns/user");
}

bool proc_is_here(const struct proc *p)
{
	return same_ns(p, "ns/net") && same_ns(p, "ns/mnt");
}

static bool roots_alone(const struct stat *st)
{
	return st->st_uid == 0 && !(st->st_mode & S_IWOTH) &&
	       (!(st->st_mode & S_IWGRP) || st->st_gid == 0);
}

/* Only a file of root's, in a place of root's, is the program that its name
 * says; and a cheap look at the name sorts out nearly all processes. */
const char *proc_program(const struct proc *p, const char *const *known)
{
	static const char gone[] = " (deleted)";
	char path[PATH_MAX], *base;
	ssize_t n = readlinkat(p->dir, "exe", path, sizeof(path) - 1);
	_cleanup_free_ char *safe = NULL;
	struct stat st;

	if (n <= 0)
		return NULL;
	path[n] = '\0';
	/* one that an update has replaced is still what it was */
	if (n >= (ssize_t)sizeof(gone) &&
	    streq(path + n - sizeof(gone) + 1, gone))
		path[n - sizeof(gone) + 1] = '\0';
	base = strrchr(path, '/');
	while (base && *known && !streq(*known, base + 1))
		known++;
	if (!base || !*known || fstatat(p->dir, "exe", &st, 0) < 0 ||
	    !roots_alone(&st))
		return NULL;
	safe = path_of_root(path, true);
	return safe && streq(safe, path) ? *known : NULL;
}

bool proc_same_program(const struct proc *a, const struct proc *b)
{
	struct stat x, y;

	return fstatat(a->dir, "exe", &x, 0) == 0 &&
	       fstatat(b->dir, "exe", &y, 0) == 0 && x.st_dev == y.st_dev &&
	       x.st_ino == y.st_ino;
}

/* ---- signals ------------------------------------------------------------ */

/* /proc/PID is a descriptor that pidfd_send_signal(2) takes. A kernel before
 * 5.1 has no such call: there the directory tells that it is still the one. */
int proc_signal(const struct proc *p, int sig)
{
	if (syscall(SYS_pidfd_send_signal, p->dir, sig, NULL, 0) == 0)
		return 0;
	if (errno != ENOSYS)
		return -errno;
	if (faccessat(p->dir, "stat", F_OK, 0) < 0)
		return -ESRCH;
	return kill(p->pid, sig) < 0 ? -errno : 0;
}

/* The state follows the last parenthesis of /proc/PID/stat (proc(5)). Before
 * its end it may hold its ports, though its command line is gone already. */
bool proc_ended(const struct proc *p)
{
	_cleanup_buf_ struct buf b = { 0 };
	const char *at;

	if (p->dir < 0 || proc_read(p, "stat", &b) < 0 || !b.len)
		return true;
	at = strrchr(b.s, ')');
	return at && at[1] == ' ' && (at[2] == 'Z' || at[2] == 'X');
}

bool proc_wait(const struct proc *p, int ms)
{
	long long end = now_ms() + ms;

	while (!proc_ended(p)) {
		if (now_ms() >= end)
			return false;
		usleep(5000);
	}
	return true;
}

/* ---- all of them --------------------------------------------------------- */

bool proc_search(struct proc *p, bool (*is)(const struct proc *p, void *arg),
		 void *arg)
{
	DIR *d = opendir("/proc");
	struct dirent *e;
	bool found = false;

	*p = (struct proc){ .dir = -1 };
	while (d && !found && (e = readdir(d))) {
		if (e->d_name[0] < '1' || e->d_name[0] > '9')
			continue;
		if (proc_open(p, atoi(e->d_name)) == 0)
			found = is(p, arg);
		if (!found)
			proc_close(p);
	}
	if (d)
		closedir(d);
	return found;
}

/* ---- paths --------------------------------------------------------------- */

/* Each step of the path as it is written, links themselves included. */
static bool steps_are_roots(const char *path, bool may_miss)
{
	size_t len = strlen(path);
	struct stat st;

	if (*path != '/' || strstr(path, "/../") || len >= PATH_MAX)
		return false;
	for (size_t i = 1; i <= len; i++) {
		_cleanup_free_ char *step = NULL;

		if (path[i] && path[i] != '/' && i > 1)
			continue;
		/* the root itself first */
		step = xstrndup(path, i);
		if (lstat(step, &st) < 0)
			return may_miss && errno == ENOENT && !path[i];
		if (st.st_uid != 0 ||
		    (!S_ISLNK(st.st_mode) && !roots_alone(&st)))
			return false;
	}
	return true;
}

char *path_of_root(const char *path, bool may_miss)
{
	_cleanup_free_ char *real = NULL, *dir = NULL;
	const char *base;

	if (!steps_are_roots(path, may_miss))
		return NULL;
	real = realpath(path, NULL);
	if (real)
		return steps_are_roots(real, false) ? xstrdup(real) : NULL;
	base = strrchr(path, '/');
	if (!may_miss || errno != ENOENT || base == path)
		return NULL;
	dir = xstrndup(path, base - path);
	real = path_of_root(dir, false);
	return real ? xasprintf("%s%s", real, base) : NULL;
}
