/* A digest of the rules that are loaded for a bridge with nftables. */
#ifndef NETBR_FWDIGEST_H
#define NETBR_FWDIGEST_H

#include <stdint.h>

/* The digest, owned by the caller: NULL if nothing is loaded, "unknown" if
 * the kernel could not be asked. What is read is kept: */
char *fwdigest_nft(const char *bridge);
/* ...but for what this process changes: all of it, or (after lines of the form
 * that fw_delta() makes) the elements of some sets. */
void fwdigest_forget(const char *bridge);
void fwdigest_changed(const char *bridge, const char *commands);
void fwdigest_free(void);

/* A digest of what iptables-nft holds for the nftables backend; 0 if there is
 * nothing, or if it is part of the iptables backend's rules (which has a
 * chain in filter's FORWARD always). Returns 0 or -errno. */
int fwdigest_helpers(const char *bridge, uint64_t *out);

#endif
