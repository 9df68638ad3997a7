/* Helper programs: by argument vector, input on a pipe, never a shell. */
#ifndef NETBR_SPAWN_H
#define NETBR_SPAWN_H

#include <sys/types.h>

#include "util.h"

/* Finds a program in the system's own directories (PATH is not trusted).
 * Returns its path (owned by the caller) or NULL. */
char *spawn_find(const char *program);

/* Runs argv[0] (looked up with spawn_find) with `input` on its standard
 * input; out and err (may be NULL) collect what it says. Returns its exit
 * status, or -ENOENT if there is no such program, -ETIMEDOUT if it was
 * stopped after timeout_s seconds, -errno otherwise (-EINTR: by a signal). */
int spawn_run(const char *const argv[], const char *input, size_t input_len,
	      struct buf *out, struct buf *err, unsigned int timeout_s);

/* Starts a program with a file `in` as its standard input and a file `out` for
 * all it says, and goes on; *pid is then for spawn_wait(). 0 or -errno. */
int spawn_begin(const char *const argv[], int in, int out, pid_t *pid);

/* Waits for its end: the exit status, or -errno (-EINTR: by a signal). */
int spawn_wait(pid_t pid);

/* Runs a program that says nothing where all is well; *why (caller frees)
 * gets the first line of what it says otherwise. 0 or -errno. */
int spawn_helper(const char *const argv[], const char *input, char **why);

/* How many programs this process has started. */
extern unsigned int spawn_count;

#endif
