/* A try: what up has done waits for `netbr-apply confirm`, in a guard that
 * listens at /run/netbr/try.sock. */
#ifndef NETBR_TRY_H
#define NETBR_TRY_H

#include <stdbool.h>

enum try_end {
	TRY_CONFIRMED, TRY_REVERT, TRY_TIMEOUT,
};

/* The guard's side. Opens the socket; -errno if that can't be done. */
int try_listen(const char *root);
/* Waits at the socket for at most timeout_s seconds. *client gets the
 * descriptor of who asked, or -1: it is answered with try_answer(). The
 * caller of the try is on `caller`: a byte from it is "confirm" ('c') or
 * "revert" ('r'), its end is nothing. */
enum try_end try_wait(int listener, int caller, unsigned int timeout_s,
		      int *client);
/* Says how it ended (an exit code) and closes the descriptor. */
void try_answer(int client, int rc);
void try_unlink(const char *root);

/* The other side. Sends "confirm", "revert" or "status" to a waiting try.
 * Returns the answer: an exit code, or the seconds left for "status"; -ENOENT
 * if no try waits, -errno otherwise. */
int try_ask(const char *root, const char *word);

#endif
