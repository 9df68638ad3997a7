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
	pid_t shell;		/* the child that asks the shell, or 0 */
	char *staged;		/* temporary file beside the real one */
	char *real;		/* path with symlinks followed */
};

struct outfiles {
	struct outfile *v;
	size_t n;
};

/* Computes all outputs of a model and what is stale under root. Nothing is
 * written. Returns 0, or -1 after messages. */
int outfiles_compute(struct outfiles *o, const struct model *m,
		     const struct facts *f, const char *root);

/* Writes all changes: first every temporary file, then every rename. On a
 * failure before the first rename nothing has changed. Says what it did
 * through msg_info. Returns the number of changes, or -1 after messages. */
int outfiles_write(struct outfiles *o);

/* Unified diff of all changes to stdout. Returns the number of changed
 * files, or -1. */
int outfiles_diff(const struct outfiles *o);
void outfiles_free(struct outfiles *o);

/* Replaces netbr's managed block in a text; an empty block removes it.
 * Lines outside stay byte for byte. Returns false, with *line of the
 * offending marker, if the markers do not pair up. */
bool block_replace(const char *text, size_t len, const char *block,
		   struct buf *out, int *line);

#endif
