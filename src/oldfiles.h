/* Files as they were before `netbr-gen write` replaced them, kept in
 * /run/netbr/files.json until an `up` or a `confirm` has accepted what came
 * of them: so that a try that goes back takes them along. */
#ifndef NETBR_OLDFILES_H
#define NETBR_OLDFILES_H

#include "outfile.h"

/* Before the changes in o are written: adds what they replace. A file that
 * is noted already keeps its oldest content. 0 or -errno. */
int oldfiles_note(const struct outfiles *o, const char *root);
/* Is anything noted? */
bool oldfiles_any(const char *root);
/* Puts all of them back, but those that somebody has edited since; says
 * what it does. Returns how many could not be put back. */
unsigned int oldfiles_restore(const char *root);
/* They are no longer needed. */
void oldfiles_forget(const char *root);

#endif
