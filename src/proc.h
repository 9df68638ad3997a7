/* Other processes: who they are, as far as only root could have made it so.
 * A name, a title, an argument or a pid file alone says nothing: every user
 * can call his process what he likes. */
#ifndef NETBR_PROC_H
#define NETBR_PROC_H

#include <sys/types.h>

#include "util.h"

/* A process, pinned: what is read through it and signalled by it is this one,
 * or fails, whoever has its number later. */
struct proc {
	pid_t pid;
	int dir;	/* /proc/PID */
};

/* 0 or -errno; proc_close() in both cases is fine. */
int proc_open(struct proc *p, pid_t pid);
void proc_close(struct proc *p);
#define _cleanup_proc_ __attribute__((cleanup(proc_close)))

/* Reads /proc/PID/FILE. 0 or -errno. */
int proc_read(const struct proc *p, const char *file, struct buf *b);
/* A number after "KEY:" in /proc/PID/status, 0 if there is none. */
unsigned long proc_number(const struct proc *p, const char *key, int base);

/* All its user ids are 0, in our user namespace. */
bool proc_is_root(const struct proc *p);
/* It lives in our network and mount namespace. */
bool proc_is_here(const struct proc *p);
/* Which of the `known` programs (base names, NULL at the end) is it? Its file,
 * and every directory above, must be root's and closed to others. NULL if it
 * is none of them. */
const char *proc_program(const struct proc *p, const char *const *known);
/* Both run the same file. */
bool proc_same_program(const struct proc *a, const struct proc *b);

/* 0 or -errno (-ESRCH: it has ended). */
int proc_signal(const struct proc *p, int sig);
/* Has it ended (a zombie has)? */
bool proc_ended(const struct proc *p);
/* Waits for its end, ms at most; false if it lives still. */
bool proc_wait(const struct proc *p, int ms);

/* Goes through all processes until `is` likes one: that one stays open in *p
 * (true). */
bool proc_search(struct proc *p, bool (*is)(const struct proc *p, void *arg),
		 void *arg);

/* The real path of a file that only root can put there or change: it, every
 * directory above and every link on the way are root's, and nobody else can
 * write to them. NULL otherwise. Caller frees. With `may_miss` the file itself
 * need not be there yet. */
char *path_of_root(const char *path, bool may_miss);

#endif
