#include "try.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "diag.h"

#define SOCKET_NAME "try.sock"

/* A socket's path has 107 bytes at most: it is reached through the open
 * directory, whatever the root is called. */
static int address(const char *root, struct sockaddr_un *a, int *dir)
{
	_cleanup_free_ char *path = path_join(root, "/run/netbr");

	*dir = open(path, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	if (*dir < 0)
		return -errno;
	*a = (struct sockaddr_un){ .sun_family = AF_UNIX };
	snprintf(a->sun_path, sizeof(a->sun_path), "/proc/self/fd/%d/"
		 SOCKET_NAME, *dir);
	return 0;
}

int try_listen(const char *root)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	_cleanup_fd_ int dir = -1;
	struct sockaddr_un a;
	mode_t old;
	int rc;

	if (fd < 0)
		return -errno;
	rc = address(root, &a, &dir);
	if (rc == 0) {
		unlinkat(dir, SOCKET_NAME, 0);
		old = umask(0177);
		if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
		    listen(fd, 8) < 0)
			rc = -errno;
		umask(old);
	}
	if (rc < 0) {
		close(fd);
		return rc;
	}
	return fd;
}

void try_unlink(const char *root)
{
	_cleanup_free_ char *path = path_join(root, "/run/netbr/"
					      SOCKET_NAME);

	unlink(path);
}

static long boottime_ms(void)
{
	struct timespec t;

	/* a suspended laptop's time counts as well */
	clock_gettime(CLOCK_BOOTTIME, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void answer(int fd, int number)
{
	char text[32];
	int n = snprintf(text, sizeof(text), "%d\n", number);

	/* who asked may be gone */
	if (send(fd, text, n, MSG_NOSIGNAL) < 0)
		msg_debug("try: %s", strerror(errno));
}

void try_answer(int client, int rc)
{
	if (client < 0)
		return;
	answer(client, rc);
	close(client);
}

/* One visitor. True if it decided something; *client is then still open. */
static bool visitor(int listener, long left_ms, enum try_end *end,
		    int *client)
{
	struct timeval limit = { .tv_sec = 1 };
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	char word[16] = "";

	if (fd < 0)
		return false;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (recv(fd, word, sizeof(word) - 1, 0) < 0)
		word[0] = '\0';
	if (streq(word, "confirm") || streq(word, "revert")) {
		*end = streq(word, "confirm") ? TRY_CONFIRMED : TRY_REVERT;
		*client = fd;
		return true;
	}
	answer(fd, (left_ms + 999) / 1000);
	close(fd);
	return false;
}

enum try_end try_wait(int listener, int caller, unsigned int timeout_s,
		      int *client)
{
	long deadline = boottime_ms() + timeout_s * 1000L;
	enum try_end end;

	*client = -1;
	for (;;) {
		struct pollfd p[2] = { { listener, POLLIN, 0 },
				       { caller, POLLIN, 0 } };
		long left = deadline - boottime_ms();
		char c;

		if (left <= 0)
			return TRY_TIMEOUT;
		/* in short steps: poll's clock stands still in a suspend */
		if (poll(p, 2, left < 1000 ? left : 1000) < 0)
			continue;
		if (p[0].revents & POLLIN &&
		    visitor(listener, left, &end, client))
			return end;
		if (!p[1].revents)
			continue;
		if (read(caller, &c, 1) == 1)
			return c == 'c' ? TRY_CONFIRMED : TRY_REVERT;
		caller = -1;	/* it is gone; the time goes on */
	}
}

int try_ask(const char *root, const char *word)
{
	_cleanup_fd_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	_cleanup_fd_ int dir = -1;
	struct sockaddr_un a;
	char text[32] = "";
	ssize_t n;
	int rc;

	if (fd < 0)
		return -errno;
	rc = address(root, &a, &dir);
	if (rc < 0)
		return rc;
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		return errno == ECONNREFUSED ? -ENOENT : -errno;
	if (send(fd, word, strlen(word), MSG_NOSIGNAL) < 0)
		return -errno;
	do
		n = recv(fd, text, sizeof(text) - 1, 0);
	while (n < 0 && errno == EINTR);
	return n > 0 ? atoi(text) : -EPIPE;
}
