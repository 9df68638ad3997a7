#include "dnsmasq.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "spawn.h"

#define HELPER_TIMEOUT 20
#define WAIT_MS 5000
#define STEP_MS 10

struct paths {
	char *conf, *hosts, *pid, *supervisor, *lib;
};

static char *under(const char *root, const char *fmt, const char *bridge)
{
	const char *at = strstr(fmt, "BR");

	return xasprintf("%s%.*s%s%s", root ? root : "", (int)(at - fmt), fmt,
			 bridge, at + 2);
}

static struct paths paths_of(const char *root, const char *bridge)
{
	return (struct paths){
		.conf = under(root, "/etc/dnsmasq.d/netbr-BR.conf", bridge),
		.hosts = under(root, "/var/lib/netbr/BR.hosts", bridge),
		.pid = under(root, "/run/netbr/dnsmasq-BR.pid", bridge),
		.supervisor = under(root,
				    "/run/netbr/supervise-dnsmasq-BR.pid",
				    bridge),
		.lib = xasprintf("%s/var/lib/netbr", root ? root : ""),
	};
}

static void paths_free(struct paths *p)
{
	free(p->conf);
	free(p->hosts);
	free(p->pid);
	free(p->supervisor);
	free(p->lib);
}

#define _cleanup_paths_ __attribute__((cleanup(paths_free)))

static uint64_t file_digest(const char *path)
{
	_cleanup_buf_ struct buf b = { 0 };

	/* 63 bits, as JSON has them; 0 is "nothing" */
	if (buf_read_file(&b, path, 64 << 20) < 0)
		return 1;
	return hash_text(buf_str(&b), b.len) >> 1 | 2;
}

bool dnsmasq_files(const char *root, const char *bridge, uint64_t *conf,
		   uint64_t *hosts)
{
	_cleanup_paths_ struct paths p = paths_of(root, bridge);

	*conf = file_digest(p.conf);
	*hosts = file_digest(p.hosts);
	return access(p.conf, F_OK) == 0;
}

/* Does this process live, and speak of the file `mark` on its command line? A
 * pid alone may be another's by now; a zombie has no command line. */
static bool lives(pid_t pid, const char *mark)
{
	_cleanup_free_ char *path = xasprintf("/proc/%d/cmdline", (int)pid);
	_cleanup_buf_ struct buf cmd = { 0 };

	return pid && buf_read_file(&cmd, path, 65536) == 0 && cmd.len &&
	       memmem(cmd.s, cmd.len, mark, strlen(mark));
}

/* The process of a pid file; 0 if there is none. */
static pid_t process_of(const char *pidfile, const char *mark)
{
	_cleanup_buf_ struct buf text = { 0 };
	unsigned long pid;

	if (buf_read_file(&text, pidfile, 64) < 0 || !text.len)
		return 0;
	text.s[strcspn(text.s, "\n")] = '\0';
	if (!uint_parse(text.s, 2, 1 << 30, &pid) || !lives(pid, mark))
		return 0;
	return pid;
}

static pid_t dnsmasq_pid(const struct paths *p)
{
	return process_of(p->pid, p->conf);
}

static pid_t supervisor_pid(const struct paths *p)
{
	return process_of(p->supervisor, p->supervisor);
}

bool dnsmasq_runs(const char *root, const char *bridge)
{
	_cleanup_paths_ struct paths p = paths_of(root, bridge);

	return dnsmasq_pid(&p) || supervisor_pid(&p);
}

/* Is the process gone, or a zombie? Before that it may still hold its ports,
 * though its pid file and command line are gone already. The state follows
 * the last parenthesis of /proc/PID/stat (proc(5)). */
static bool ended(pid_t pid)
{
	_cleanup_free_ char *path = xasprintf("/proc/%d/stat", (int)pid);
	_cleanup_buf_ struct buf b = { 0 };
	const char *p;

	if (!pid || buf_read_file(&b, path, 4096) < 0 || !b.len)
		return true;
	p = strrchr(b.s, ')');
	return p && p[1] == ' ' && (p[2] == 'Z' || p[2] == 'X');
}

static bool wait_gone(pid_t supervisor, pid_t dnsmasq)
{
	for (int ms = 0; ms < WAIT_MS; ms += STEP_MS) {
		if (ended(dnsmasq) && ended(supervisor))
			return true;
		usleep(STEP_MS * 1000);
	}
	return false;
}

static bool wait_there(const struct paths *p)
{
	for (int ms = 0; ms < WAIT_MS; ms += STEP_MS) {
		if (dnsmasq_pid(p))
			return true;
		usleep(STEP_MS * 1000);
	}
	return false;
}

/* The supervisor goes first, or it would start another. */
static int stop(const struct paths *p)
{
	pid_t s = supervisor_pid(p), d = dnsmasq_pid(p);

	if (s || d)
		kill(s ? s : d, SIGTERM);
	if (!wait_gone(s, d)) {
		if (lives(s, p->supervisor))
			kill(s, SIGKILL);
		if (lives(d, p->conf))
			kill(d, SIGKILL);
		if (!wait_gone(s, d))
			return -EBUSY;
	}
	/* one that the supervisor has started meanwhile */
	d = dnsmasq_pid(p);
	if (d)
		kill(d, SIGKILL);
	if (d && !wait_gone(0, d))
		return -EBUSY;
	unlink(p->pid);
	unlink(p->supervisor);
	return 0;
}

/* supervise-daemon(8) starts it again should it end. Its first argument is a
 * service's name, which it marks as stopped when it ends itself: so not the
 * bridge's. Without OpenRC dnsmasq goes into the background. */
static int launch(const struct paths *p, const char *bridge, struct buf *err)
{
	_cleanup_free_ char *supervise = spawn_find("supervise-daemon");
	_cleanup_free_ char *dnsmasq = spawn_find("dnsmasq");
	_cleanup_free_ char *service = xasprintf("netbr-dnsmasq.%s",
						      bridge);
	_cleanup_free_ char *env = xasprintf("RC_SVCNAME=%s", service);
	_cleanup_free_ char *conf = xasprintf("--conf-file=%s", p->conf);
	_cleanup_free_ char *pid = xasprintf("--pid-file=%s", p->pid);
	const char *const supervised[] = {
		"env", env, supervise, service, "--start", "--pidfile",
		p->supervisor, "--respawn-delay", "1", "--respawn-max", "0",
		dnsmasq, "--", "--keep-in-foreground", conf, pid, NULL,
	};
	const char *const alone[] = { "dnsmasq", conf, pid, NULL };

	if (!dnsmasq) {
		buf_puts(err, "dnsmasq is not installed");
		return -ENOENT;
	}
	if (supervise && access("/run/openrc/softlevel", F_OK) == 0)
		return spawn_run(supervised, "", 0, err, err, HELPER_TIMEOUT);
	return spawn_run(alone, "", 0, err, err, HELPER_TIMEOUT);
}

static int start(const struct paths *p, const char *bridge, char **why)
{
	_cleanup_buf_ struct buf err = { 0 };
	int rc;

	if (mkdir(p->lib, 0755) < 0 && errno != EEXIST)
		return -errno;
	unlink(p->pid);
	rc = launch(p, bridge, &err);
	/* it serves once it has written its pid */
	if (rc == 0 && wait_there(p))
		return 0;
	stop(p);
	*why = xasprintf("it does not start; is another server on %s's ports "
			 "53 or 67?%s%.*s", bridge, err.len ? " " : "",
			 (int)strcspn(buf_str(&err), "\n"), buf_str(&err));
	return rc < 0 ? rc : -ECHILD;
}

int dnsmasq_do(const char *root, const char *bridge, enum dns_action action,
	       char **why)
{
	_cleanup_paths_ struct paths p = paths_of(root, bridge);
	pid_t pid;
	int rc;

	switch (action) {
	case DNS_STOP:
		return stop(&p);
	case DNS_RESTART:
	case DNS_START:
		rc = stop(&p);
		return rc < 0 ? rc : start(&p, bridge, why);
	case DNS_RELOAD:
		break;
	}
	/* one that is just being started anew will read the files itself */
	pid = dnsmasq_pid(&p);
	return pid && kill(pid, SIGHUP) < 0 && errno != ESRCH ? -errno : 0;
}
