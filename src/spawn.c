#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define HELPER_TIMEOUT 20

unsigned int spawn_count;

static const char *const directories[] = {
	"/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin",
	"/usr/local/bin",
};

char *spawn_find(const char *program)
{
	for (size_t i = 0; i < N_ELEMENTS(directories); i++) {
		char *path = xasprintf("%s/%s", directories[i], program);

		if (access(path, X_OK) == 0)
			return path;
		free(path);
	}
	return NULL;
}

struct child {
	pid_t pid;
	int in, out, err;	/* our ends */
};

/* Starts a program with these descriptors as its standard ones. posix_spawn(3)
 * does not copy the page tables of a process that has read 1000 guests. */
static int start_on(const char *path, const char *const argv[],
		    const int fd[3], pid_t *pid)
{
	static char *const env[] = {
		(char *)"PATH=/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:"
			"/usr/local/bin", (char *)"LC_ALL=C", NULL,
	};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t pipe_signal;
	int rc;

	sigemptyset(&pipe_signal);
	sigaddset(&pipe_signal, SIGPIPE);
	rc = posix_spawn_file_actions_init(&actions);
	if (rc)
		return -rc;
	rc = posix_spawnattr_init(&attr);
	if (!rc) {
		posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF);
		posix_spawnattr_setsigdefault(&attr, &pipe_signal);
		for (int i = 0; !rc && i < 3; i++)
			rc = posix_spawn_file_actions_adddup2(&actions, fd[i],
							      i);
		if (!rc)
			rc = posix_spawn(pid, path, &actions, &attr,
					 (char *const *)argv, env);
		posix_spawnattr_destroy(&attr);
	}
	posix_spawn_file_actions_destroy(&actions);
	if (!rc)
		spawn_count++;
	return -rc;
}

static int start(const char *path, const char *const argv[], struct child *c)
{
	int in[2] = { -1, -1 }, out[2] = { -1, -1 }, err[2] = { -1, -1 };
	int rc = 0;

	if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0 ||
	    pipe2(err, O_CLOEXEC) < 0)
		rc = -errno;
	else
		rc = start_on(path, argv, (int[]){ in[0], out[1], err[1] },
			      &c->pid);
	close(in[0]);
	close(out[1]);
	close(err[1]);
	c->in = in[1];
	c->out = out[0];
	c->err = err[0];
	if (rc < 0) {
		close(c->in);
		close(c->out);
		close(c->err);
	}
	return rc;
}

/* One readable end into its buffer; closes it at its end. */
static void drain(int *fd, struct buf *b)
{
	char chunk[8192];
	ssize_t n = read(*fd, chunk, sizeof(chunk));

	if (n > 0) {
		if (b)
			buf_add(b, chunk, n);
	} else if (n == 0 || errno != EINTR) {
		close(*fd);
		*fd = -1;
	}
}

static void feed(struct child *c, const char **input, size_t *len)
{
	ssize_t n = *len ? write(c->in, *input, *len) : 0;

	if (n > 0) {
		*input += n;
		*len -= n;
	} else if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		return;
	} else {
		*len = 0;	/* it does not want the rest */
	}
	if (!*len) {
		close(c->in);
		c->in = -1;
	}
}

/* Feeds and drains until both outputs end; false when time is up. */
static bool converse(struct child *c, const char *input, size_t len,
		     struct buf *out, struct buf *err, long deadline)
{
	fcntl(c->in, F_SETFL, O_NONBLOCK);
	if (!len) {
		close(c->in);
		c->in = -1;
	}
	while (c->out >= 0 || c->err >= 0) {
		struct pollfd p[3] = { { c->out, POLLIN, 0 },
				       { c->err, POLLIN, 0 },
				       { c->in, POLLOUT, 0 } };
		long left = deadline - now_ms();
		int n = left > 0 ? poll(p, 3, left) : 0;

		if (n == 0)
			return false;
		if (n < 0)
			continue;
		if (c->out >= 0 && p[0].revents)
			drain(&c->out, out);
		if (c->err >= 0 && p[1].revents)
			drain(&c->err, err);
		if (c->in >= 0 && p[2].revents)
			feed(c, &input, &len);
	}
	return true;
}

int spawn_wait(pid_t pid)
{
	int status = 0;
	pid_t got;

	while ((got = waitpid(pid, &status, 0)) < 0 && errno == EINTR)
		;
	if (got < 0)
		return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -EINTR;
}

int spawn_run(const char *const argv[], const char *input, size_t input_len,
	      struct buf *out, struct buf *err, unsigned int timeout_s)
{
	_cleanup_free_ char *path = spawn_find(argv[0]);
	struct child c;
	bool in_time;
	int rc;

	if (!path)
		return -ENOENT;
	signal(SIGPIPE, SIG_IGN);
	rc = start(path, argv, &c);
	if (rc < 0)
		return rc;
	in_time = converse(&c, input, input_len, out, err,
			   now_ms() + timeout_s * 1000L);
	if (!in_time)
		kill(c.pid, SIGKILL);
	int ends[] = { c.in, c.out, c.err };

	for (size_t i = 0; i < N_ELEMENTS(ends); i++)
		if (ends[i] >= 0)
			close(ends[i]);
	rc = spawn_wait(c.pid);
	return in_time ? rc : -ETIMEDOUT;
}

int spawn_begin(const char *const argv[], int in, int out, pid_t *pid)
{
	_cleanup_free_ char *path = spawn_find(argv[0]);

	return path ? start_on(path, argv, (int[]){ in, out, out }, pid) :
	       -ENOENT;
}

int spawn_helper(const char *const argv[], const char *input, char **why)
{
	_cleanup_buf_ struct buf err = { 0 };
	int rc = spawn_run(argv, input, strlen(input), &err, &err,
			   HELPER_TIMEOUT);

	if (rc == 0)
		return 0;
	if (rc == -ENOENT)
		*why = xasprintf("%s is not installed", argv[0]);
	else if (rc == -ETIMEDOUT)
		*why = xasprintf("%s did not end within %d seconds", argv[0],
				 HELPER_TIMEOUT);
	else
		*why = xasprintf("%s: %.*s", argv[0],
				 (int)strcspn(buf_str(&err), "\n"),
				 buf_str(&err));
	return rc < 0 ? rc : -EINVAL;
}
