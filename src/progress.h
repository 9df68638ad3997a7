/* A line on the terminal for what takes longer than a second. */
#ifndef NETBR_PROGRESS_H
#define NETBR_PROGRESS_H

#include <stddef.h>

/* Begins: `total` of something are to be done. Nothing is shown if standard
 * error is no terminal, with --quiet or under OpenRC. */
void progress_begin(size_t total);
/* So many more are done; shown ten times a second at most. */
void progress_add(size_t n);
/* Takes the line away. */
void progress_end(void);

#endif
