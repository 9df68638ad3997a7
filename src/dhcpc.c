#include "dhcpc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "spawn.h"
#include "view.h"

#define HELPER_TIMEOUT 30
#define WAIT_MS 3000

static bool same_netns(const char *pid)
{
	_cleanup_free_ char *path = xasprintf("/proc/%s/ns/net", pid);
	char theirs[64] = "", ours[64] = "";

	return readlink(path, theirs, sizeof(theirs) - 1) > 0 &&
	       readlink("/proc/self/ns/net", ours, sizeof(ours) - 1) > 0 &&
	       streq(theirs, ours);
}

/* "dhcpcd: eth0 [ip4]" is a title, not arguments: its words count too. */
static bool names(const struct buf *cmd, const char *ifname)
{
	size_t n = strlen(ifname);
	const char *p = cmd->s, *end = cmd->s + cmd->len;

	while ((p = memmem(p, end - p, ifname, n))) {
		char before = p > cmd->s ? p[-1] : '\0';
		char after = p + n < end ? p[n] : '\0';
		bool glued = p > cmd->s + 1 && before == 'i' && p[-2] == '-';

		if ((!before || before == ' ' || glued) &&
		    (!after || after == ' '))
			return true;
		p += n;
	}
	return false;
}

static bool says(const struct buf *cmd, const char *word)
{
	return memmem(cmd->s, cmd->len, word, strlen(word));
}

/* The arguments, one a line; those of dhcpcd are lost behind its title. */
static char *argv_lines(const char *comm, const char *ifname, struct buf *cmd)
{
	if (streq(comm, "dhcpcd"))
		return xasprintf("dhcpcd\n-q\n-b\n%s\n", ifname);
	for (size_t i = 0; i < cmd->len; i++)
		if (!cmd->s[i] || cmd->s[i] == '\n')
			cmd->s[i] = '\n';
	return xasprintf("%s%s", cmd->s, cmd->len &&
			 cmd->s[cmd->len - 1] == '\n' ? "" : "\n");
}

static int look_at(const char *pid, const char *ifname, char **argv)
{
	_cleanup_free_ char *comm_path = xasprintf("/proc/%s/comm", pid);
	_cleanup_free_ char *cmd_path = xasprintf("/proc/%s/cmdline", pid);
	_cleanup_buf_ struct buf comm = { 0 }, cmd = { 0 };

	if (buf_read_file(&comm, comm_path, 64) < 0 || !comm.len)
		return 0;
	comm.s[strcspn(comm.s, "\n")] = '\0';
	if ((!streq(comm.s, "dhcpcd") && !streq(comm.s, "dhclient") &&
	     !streq(comm.s, "udhcpc")) || !same_netns(pid) ||
	    buf_read_file(&cmd, cmd_path, 65536) < 0 || !cmd.len)
		return 0;
	/* its helpers end with it */
	if (says(&cmd, "[privileged") || says(&cmd, "[network") ||
	    says(&cmd, "[control"))
		return 0;
	if (says(&cmd, "[manager]") || says(&cmd, "[master]"))
		return -1;
	if (!names(&cmd, ifname))
		return 0;
	*argv = argv_lines(comm.s, ifname, &cmd);
	return atoi(pid);
}

int dhcpc_find(const char *ifname, char **argv)
{
	DIR *d = opendir("/proc");
	struct dirent *e;
	int found = 0;

	*argv = NULL;
	while (d && found <= 0 && (e = readdir(d))) {
		int this = e->d_name[0] >= '1' && e->d_name[0] <= '9' ?
			   look_at(e->d_name, ifname, argv) : 0;

		if (this)
			found = this;
	}
	if (d)
		closedir(d);
	return found;
}

int dhcpc_stop(const char *ifname, int pid)
{
	char *argv = NULL;

	/* the number may be another's by now */
	if (dhcpc_find(ifname, &argv) != pid) {
		free(argv);
		return 0;
	}
	free(argv);
	if (kill(pid, SIGKILL) < 0)
		return errno == ESRCH ? 0 : -errno;
	for (int ms = 0; ms < WAIT_MS && kill(pid, 0) == 0; ms += 10) {
		_cleanup_free_ char *path = xasprintf("/proc/%d/cmdline", pid);
		_cleanup_buf_ struct buf cmd = { 0 };

		/* a zombie has no command line */
		if (buf_read_file(&cmd, path, 65536) < 0 || !cmd.len)
			return 0;
		usleep(10000);
	}
	return 0;
}

/* The script that spares the address once, then is the stock one. */
static char *script_path(void)
{
	char exe[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	char *slash;

	exe[n < 0 ? 0 : n] = '\0';
	for (int i = 0; i < 2 && (slash = strrchr(exe, '/')); i++)
		*slash = '\0';
	_cleanup_free_ char *built = xasprintf("%s/init.d/dhcp-script", exe);

	return xstrdup(access(built, X_OK) == 0 ? built :
		       DATADIR "/netbr/dhcp-script");
}

static int start_client(const char *argv[], size_t n)
{
	_cleanup_buf_ struct buf out = { 0 };
	int rc;

	argv[n] = NULL;
	rc = spawn_run(argv, "", 0, &out, &out, HELPER_TIMEOUT);
	return rc > 0 ? -ECHILD : rc;
}

int dhcpc_start(const char *ifname, const char *argv)
{
	_cleanup_free_ char *text = xstrdup(argv), *script = script_path();
	_cleanup_free_ char *keep = xasprintf("/run/netbr/keep-%s", ifname);
	const char *v[64], *base;
	char *save = NULL, *old = NULL;
	bool has_script = false;
	size_t n = 0;

	if (dhcpc_find(ifname, &old) > 0) {
		free(old);
		return 0;	/* somebody was faster */
	}
	for (char *w = strtok_r(text, "\n", &save); w && n < 60;
	     w = strtok_r(NULL, "\n", &save)) {
		has_script |= streq(w, "-sf") || streq(w, "-s");
		/* it was in the foreground of somebody: not of us */
		if (!streq(w, "-f") && !streq(w, "-d"))
			v[n++] = w;
	}
	if (!n)
		return -EINVAL;
	base = strrchr(v[0], '/');
	v[0] = base ? base + 1 : v[0];
	if (!streq(v[0], "dhcpcd") && !has_script &&
	    access(script, X_OK) == 0) {
		int fd = open(keep, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

		if (fd >= 0)
			close(fd);
		v[n++] = streq(v[0], "udhcpc") ? "-s" : "-sf";
		v[n++] = script;
	}
	if (streq(v[0], "udhcpc"))
		v[n++] = "-b";
	else if (streq(v[0], "dhclient"))
		v[n++] = "-nw";
	return start_client(v, n);
}
