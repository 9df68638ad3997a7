/* Output files: what they should hold, what they hold, and the change. */
#ifndef NETBR_OUTFILE_H
#define NETBR_OUTFILE_H

#include <sys/types.h>

#include "view.h"

enum change { CHANGE_NONE, CHANGE_CREATE, CHANGE_UPDATE, CHANGE_REMOVE };

struct outfile {
	char *path;		/* with root */
	struct buf old, new;	/* whole contents; new unused for REMOVE */
	enum change change;
	bool is_confd;		/* must be a valid shell file */
	bool judged;		/* by a shell: its process or 0, a file of */
	pid_t shell;		/* what it says or -1, and its exit status */
	int says, judge;	/* or -errno */
	char *staged;		/* temporary file beside the real one */
	char *real;		/* path with symlinks followed */
};

struct outfiles {
	struct outfile *v;
	size_t n;
};

/* Computes all outputs of a model and what is stale under root; a shell starts
 * to read conf.d/net. Nothing is written. Returns 0, or -1 after messages. */
int outfiles_compute(struct outfiles *o, const struct model *m,
		     const struct facts *f, const char *root);

/* Waits for the shell's word on what has been computed. Returns 0, or -1 after
 * a message that nothing was written. */
int outfiles_judge(struct outfiles *o);

/* Writes and syncs every change as a temporary file beside the real one;
 * outfile_free() removes those that did not get its name. Returns 0, or -1
 * after a message: nothing has changed. */
int outfiles_stage(struct outfiles *o);

/* Renames what is staged and removes what is stale. Says what it did through
 * msg_info. Returns the number of changes, or -1 after messages. */
int outfiles_commit(struct outfiles *o);

/* Unified diff of all changes to stdout. Returns the number of changed
 * files, or -1. */
int outfiles_diff(const struct outfiles *o);
void outfile_free(struct outfile *f);
void outfiles_free(struct outfiles *o);

/* Replaces netbr's managed block in a text; an empty block removes it.
 * Lines outside stay byte for byte. Returns false, with *line of the
 * offending marker, if the markers do not pair up. */
bool block_replace(const char *text, size_t len, const char *block,
		   struct buf *out, int *line);

#endif
