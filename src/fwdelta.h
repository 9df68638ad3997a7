/* The difference of two rule texts as a few set elements. Pure. */
#ifndef NETBR_FWDELTA_H
#define NETBR_FWDELTA_H

/* Where two nftables texts of ours differ in nothing but the elements of
 * "add element FAMILY TABLE SET {" blocks: the commands that lead from the
 * first to the second (caller frees). NULL if they differ in more. */
char *fw_delta(const char *old, const char *new);

#endif
