#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFAULT_CONFIG "/etc/vmnet.conf"
#define LOCK_DIR "/run/netbr"

enum { OPT_JSON = 256, OPT_FORCE, OPT_WAIT, OPT_TIMEOUT, OPT_FORMAT };

static const struct option all_options[] = {
	{ "config", required_argument, NULL, 'c' },
	{ "root", required_argument, NULL, 'r' },
	{ "quiet", no_argument, NULL, 'q' },
	{ "verbose", no_argument, NULL, 'v' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "force", no_argument, NULL, OPT_FORCE },
	{ "wait", required_argument, NULL, OPT_WAIT },
	{ "timeout", required_argument, NULL, OPT_TIMEOUT },
	{ "format", required_argument, NULL, OPT_FORMAT },
	{ NULL, 0, NULL, 0 },
};

/* The first six are common; of the others those named in extra. */
static void choose_options(struct option *out, const char *const *extra)
{
	size_t n = 0;

	for (size_t i = 0; all_options[i].name; i++) {
		bool wanted = i < 6;

		for (size_t k = 0; extra[k]; k++)
			wanted |= streq(extra[k], all_options[i].name);
		if (wanted)
			out[n++] = all_options[i];
	}
	out[n] = (struct option){ 0 };
}

static unsigned int seconds(const char *name, const char *text)
{
	unsigned long v;

	if (!uint_parse(text, 0, 86400, &v)) {
		msg_error("--%s takes seconds, not '%s'", name, text);
		exit(RC_USAGE);
	}
	return v;
}

static void one_option(struct cli *c, int opt, const char *usage)
{
	switch (opt) {
	case 'c': c->config = optarg; break;
	case 'r': c->root = optarg; break;
	case 'q': diag_quiet = true; break;
	case 'v': diag_verbose = true; break;
	case OPT_JSON: c->json = true; break;
	case OPT_FORCE: c->force = true; break;
	case OPT_WAIT: c->wait_s = seconds("wait", optarg); break;
	case OPT_TIMEOUT: c->timeout_s = seconds("timeout", optarg); break;
	case OPT_FORMAT: c->format = optarg; break;
	case 'h':
		fputs(usage, stdout);
		exit(RC_OK);
	case 'V':
		printf("%s %s\n", diag_program, VERSION);
		exit(RC_OK);
	default:
		fprintf(stderr, "Try '%s --help'.\n", diag_program);
		exit(RC_USAGE);
	}
}

void cli_parse(struct cli *c, int argc, char **argv, const char *usage,
	       const char *const *extra)
{
	struct option options[N_ELEMENTS(all_options)];
	int opt;

	*c = (struct cli){ .root = "", .wait_s = 10, .timeout_s = 60 };
	choose_options(options, extra);
	while ((opt = getopt_long(argc, argv, "c:r:qvhV", options,
				  NULL)) != -1)
		one_option(c, opt, usage);
	if (streq(c->root, "/"))
		c->root = "";
	c->verb = optind < argc ? argv[optind++] : NULL;
	c->args = argv + optind;
	c->n_args = argc - optind;
}

struct model *cli_load(const struct cli *c)
{
	_cleanup_free_ char *path = NULL, *dropins = NULL;
	struct model *m;
	bool failed;

	path = c->config ? xstrdup(c->config) :
	       path_join(c->root, DEFAULT_CONFIG);
	dropins = path_join(c->root, "/etc/vmnet.d");
	m = conf_load(path, dropins);
	failed = !m || model_check(m) > 0;
	diag_print(stderr, diag_quiet);
	if (!failed)
		return m;
	model_free(m);
	return NULL;
}

static void say_holder(int fd, const char *path)
{
	char pid[128] = "";
	ssize_t n = pread(fd, pid, sizeof(pid) - 1, 0);

	if (n > 0)
		pid[strcspn(pid, "\n")] = '\0';
	msg_error("another run holds the lock %s (pid %s)", path,
		  n > 0 ? pid : "unknown");
}

static bool take_lock(int fd)
{
	return flock(fd, LOCK_EX | LOCK_NB) == 0;
}

/* Who finds it taken reads by whom. */
static int have_lock(int fd)
{
	char pid[32];

	/* one that an older release made, for all to read */
	if (fchmod(fd, 0600) < 0)
		msg_debug("lock: %s", strerror(errno));

	snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, strlen(pid), 0) < 0)
		msg_debug("lock: %s", strerror(errno));
	return fd;
}

int cli_lock_early(const struct cli *c)
{
	_cleanup_free_ char *path = path_join(c->root, LOCK_DIR "/lock");
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

	if (fd >= 0 && take_lock(fd))
		return have_lock(fd);
	if (fd >= 0)
		close(fd);
	return -1;
}

int cli_lock(const struct cli *c)
{
	_cleanup_free_ char *dir = path_join(c->root, LOCK_DIR);
	_cleanup_free_ char *run = path_join(c->root, "/run");
	_cleanup_free_ char *path = xasprintf("%s/lock", dir);
	bool taken;
	int fd;

	if ((mkdir(run, 0755) < 0 && errno != EEXIST) ||
	    (mkdir(dir, 0755) < 0 && errno != EEXIST) ||
	    /* who may open it may hold it: flock(2) asks for no more */
	    (fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
		       0600)) < 0) {
		msg_error("%s: can't be made: %s", path, strerror(errno));
		return -RC_FAILED;
	}
	for (unsigned int tries = 0; !(taken = take_lock(fd)); tries++) {
		if (errno != EWOULDBLOCK || tries >= c->wait_s * 20)
			break;
		usleep(50000);
	}
	if (taken)
		return have_lock(fd);
	if (errno == EWOULDBLOCK)
		say_holder(fd, path);
	else
		msg_error("%s: %s", path, strerror(errno));
	close(fd);
	return -RC_LOCKED;
}
