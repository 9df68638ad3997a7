#include "dhcpc.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proc.h"
#include "spawn.h"
#include "view.h"

#define HELPER_TIMEOUT 30
#define WAIT_MS 3000

/* Whose word counts? A user can call his process, its arguments and its title
 * what he likes. So a client is one of these files, root's in a place of
 * root's (proc_program()), run by root or as the unprivileged half of what root
 * runs, in our network and mount namespace. */
static const char *const programs[] = { "dhcpcd", "dhclient", "udhcpc",
					"busybox", NULL };

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

/* What a client may be started again with: nothing of a command line is taken
 * over but these. A PATH is one that only root can change. */
struct option {
	const char *client, *name;
	enum { PLAIN, VALUE, PATH } has;
};

static const struct option options[] = {
	/* dhclient(8) */
	{ "dhclient", "-4", PLAIN }, { "dhclient", "-6", PLAIN },
	{ "dhclient", "-i", PLAIN }, { "dhclient", "-C", VALUE },
	{ "dhclient", "-H", VALUE }, { "dhclient", "-F", VALUE },
	{ "dhclient", "-V", VALUE }, { "dhclient", "-R", VALUE },
	{ "dhclient", "-D", VALUE }, { "dhclient", "-timeout", VALUE },
	{ "dhclient", "-pf", PATH }, { "dhclient", "-lf", PATH },
	{ "dhclient", "-cf", PATH }, { "dhclient", "-sf", PATH },
	/* busybox's udhcpc */
	{ "udhcpc", "-o", PLAIN }, { "udhcpc", "-B", PLAIN },
	{ "udhcpc", "-C", PLAIN }, { "udhcpc", "-S", PLAIN },
	{ "udhcpc", "-O", VALUE }, { "udhcpc", "-x", VALUE },
	{ "udhcpc", "-r", VALUE }, { "udhcpc", "-V", VALUE },
	{ "udhcpc", "-F", VALUE }, { "udhcpc", "-H", VALUE },
	{ "udhcpc", "-c", VALUE }, { "udhcpc", "-t", VALUE },
	{ "udhcpc", "-T", VALUE }, { "udhcpc", "-A", VALUE },
	{ "udhcpc", "-p", PATH }, { "udhcpc", "-s", PATH },
};

/* udhcpc takes "-sFILE" too. */
static const struct option *option_find(const char *client, const char *arg,
					const char **glued)
{
	*glued = NULL;
	for (size_t i = 0; i < N_ELEMENTS(options); i++) {
		const struct option *o = &options[i];

		if (!streq(o->client, client))
			continue;
		if (streq(o->name, arg))
			return o;
		if (o->has != PLAIN && streq(client, "udhcpc") &&
		    strncmp(arg, o->name, 2) == 0) {
			*glued = arg + 2;
			return o;
		}
	}
	return NULL;
}

static bool value_fits(const struct option *o, const char *value)
{
	_cleanup_free_ char *real = NULL;

	for (const char *c = value; *c; c++)
		if ((unsigned char)*c < ' ')
			return false;
	if (o->has != PATH)
		return true;
	real = path_of_root(value, true);
	return real;
}

static const char *client_known(const char *name)
{
	for (int i = 0; i < 3; i++)
		if (streq(programs[i], name))
			return programs[i];
	return NULL;
}

/* The command line of `client` for this interface, one argument a line: what
 * is left of `words`, a list that ends with an empty one, behind its name. */
static char *argv_clean(const char *client, const char *ifname,
			char *const words[])
{
	_cleanup_buf_ struct buf b = { 0 };
	bool dhcpcd = streq(client, "dhcpcd");

	buf_puts(&b, client);
	for (size_t i = 0; !dhcpcd && words[i]; i++) {
		const char *value;
		const struct option *o = option_find(client, words[i], &value);

		if (o && o->has != PLAIN && !value) {
			value = words[i + 1];
			if (!value)
				break;
			i++;
		}
		if (!o || (o->has != PLAIN && !value_fits(o, value)))
			continue;
		buf_puts(&b, "\n");
		buf_puts(&b, o->name);
		if (o->has != PLAIN) {
			buf_puts(&b, "\n");
			buf_puts(&b, value);
		}
	}
	/* those of a running dhcpcd are lost behind its title */
	buf_puts(&b, dhcpcd ? "\n-q\n-b\n" :
		    streq(client, "udhcpc") ? "\n-i\n" : "\n");
	buf_puts(&b, ifname);
	buf_puts(&b, "\n");
	return xstrdup(buf_str(&b));
}

#define MAX_WORDS 60

/* Splits at a character; the words are those of the text. */
static void split(char *text, size_t len, char at, char *words[MAX_WORDS + 1])
{
	size_t n = 0;

	for (size_t i = 0; i < len && n < MAX_WORDS; i += strlen(text + i) + 1) {
		for (size_t k = i; k < len && text[k]; k++)
			if (text[k] == at) {
				text[k] = '\0';
				break;
			}
		if (text[i])
			words[n++] = text + i;
	}
	words[n] = NULL;
}

struct half {
	const struct proc *of;
	unsigned long parent;
};

static bool is_other_half(const struct proc *p, void *arg)
{
	const struct half *h = arg;

	return proc_same_program(p, h->of) && proc_is_root(p) &&
	       ((unsigned long)p->pid == h->parent ||
		proc_number(p, "PPid", 10) == (unsigned long)h->of->pid);
}

/* dhcpcd's main process has a user of its own: root's is its parent or its
 * child, of the same file. */
static bool is_roots(const struct proc *p)
{
	struct half h = { p, proc_number(p, "PPid", 10) };
	_cleanup_proc_ struct proc other = { .dir = -1 };

	return proc_is_root(p) || proc_search(&other, is_other_half, &h);
}

/* What it is called as; busybox is udhcpc only by that name or applet. */
static const char *client_name(const char *program, char *const words[])
{
	for (int i = 0; streq(program, "busybox") && i < 2 && words[i]; i++) {
		const char *base = strrchr(words[i], '/');

		if (streq(base ? base + 1 : words[i], "udhcpc"))
			return "udhcpc";
	}
	return streq(program, "busybox") ? NULL : program;
}

static int look_at(const struct proc *p, const char *ifname, char **argv)
{
	_cleanup_buf_ struct buf cmd = { 0 };
	const char *program = proc_program(p, programs), *client;
	char *words[MAX_WORDS + 1];
	bool all;

	if (!program || !proc_is_here(p) ||
	    proc_read(p, "cmdline", &cmd) < 0 || !cmd.len)
		return 0;
	/* its helpers end with it */
	if (says(&cmd, "[privileged") || says(&cmd, "[network") ||
	    says(&cmd, "[control"))
		return 0;
	/* one dhcpcd for every interface */
	all = streq(program, "dhcpcd") &&
	      (says(&cmd, "[manager]") || says(&cmd, "[master]"));
	if ((!all && !names(&cmd, ifname)) || !is_roots(p))
		return 0;
	if (all)
		return -1;
	buf_str(&cmd);
	split(cmd.s, cmd.len, '\0', words);
	client = words[0] ? client_name(program, words) : NULL;
	if (!client)
		return 0;
	*argv = argv_clean(client, ifname, words + 1);
	return p->pid;
}

struct wanted {
	const char *ifname;
	char **argv;
	int found;
};

static bool is_client(const struct proc *p, void *arg)
{
	struct wanted *w = arg;

	w->found = look_at(p, w->ifname, w->argv);
	return w->found;
}

int dhcpc_find(const char *ifname, char **argv)
{
	struct wanted w = { ifname, argv, 0 };
	_cleanup_proc_ struct proc p = { .dir = -1 };

	*argv = NULL;
	proc_search(&p, is_client, &w);
	return w.found;
}

int dhcpc_stop(const char *ifname, int pid)
{
	_cleanup_free_ char *argv = NULL;
	_cleanup_proc_ struct proc p = { .dir = -1 };
	int rc;

	/* the number may be another's by now: pinned, then looked at */
	if (proc_open(&p, pid) < 0 || look_at(&p, ifname, &argv) != pid)
		return 0;
	rc = proc_signal(&p, SIGKILL);
	if (rc < 0)
		return rc == -ESRCH ? 0 : rc;
	proc_wait(&p, WAIT_MS);
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
	_cleanup_free_ char *clean = NULL, *old = NULL;
	char *words[MAX_WORDS + 1], *split_v[MAX_WORDS + 1];
	const char *v[MAX_WORDS + 5];
	bool has_script = false;
	const char *client, *base;
	size_t n = 0;

	if (dhcpc_find(ifname, &old) > 0)
		return 0;	/* somebody was faster */
	/* the record may be an older release's: what it holds is judged again */
	split(text, strlen(text), '\n', words);
	if (!words[0])
		return -EINVAL;
	base = strrchr(words[0], '/');
	client = client_known(base ? base + 1 : words[0]);
	if (!client)
		return -EINVAL;
	clean = argv_clean(client, ifname, words + 1);
	split(clean, strlen(clean), '\n', split_v);
	for (; (v[n] = split_v[n]); n++)
		has_script |= streq(v[n], "-sf") || streq(v[n], "-s");
	if (!streq(client, "dhcpcd") && !has_script &&
	    access(script, X_OK) == 0) {
		int fd = open(keep, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

		if (fd >= 0)
			close(fd);
		v[n++] = streq(client, "udhcpc") ? "-s" : "-sf";
		v[n++] = script;
	}
	if (streq(client, "udhcpc"))
		v[n++] = "-b";
	else if (streq(client, "dhclient"))
		v[n++] = "-nw";
	return start_client(v, n);
}
