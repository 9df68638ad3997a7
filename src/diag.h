/* Complaints about the configuration: collected, sorted by place, printed
 * like a compiler's. And the three lines every other message goes through. */
#ifndef NETBR_DIAG_H
#define NETBR_DIAG_H

#include "util.h"

/* A place in a file. line 0 = no place (a default). */
struct src {
	const char *file;	/* lives as long as the program */
	int line;
};

/* Remembers the text of a file, so that complaints can quote its lines.
 * Copies both; returns the name to use in struct src. */
const char *diag_source(const char *file, const char *text, size_t len);

/* Records an error (or a warning, or a note) at a place. `word` is what the
 * caret points at, or NULL for none; it is looked up in the line. */
void diag_error(struct src src, const char *word, const char *fmt, ...)
	PRINTF(3, 4);
void diag_warning(struct src src, const char *word, const char *fmt, ...)
	PRINTF(3, 4);

/* Further complaints about this line are dropped: after a broken quote or a
 * stray character they would only mislead. */
void diag_spoil(struct src src);

/* How many errors were recorded since the last diag_reset(). */
unsigned int diag_errors(void);

/* Prints all complaints, first file and line first, and forgets them.
 * Warnings are left out when quiet. */
void diag_print(FILE *to, bool quiet);

/* Forgets complaints and sources. */
void diag_reset(void);

/* Messages of the programs themselves, on stderr: "netbr-gen: ...". */
extern const char *diag_program;
extern bool diag_quiet, diag_verbose;
/* From now on messages go to the system log: there is no terminal. */
void diag_syslog(void);
void msg_error(const char *fmt, ...) PRINTF(1, 2);
void msg_warn(const char *fmt, ...) PRINTF(1, 2);
void msg_info(const char *fmt, ...) PRINTF(1, 2);	/* not with --quiet */
void msg_debug(const char *fmt, ...) PRINTF(1, 2);	/* with --verbose */

#endif
