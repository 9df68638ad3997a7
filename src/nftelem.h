/* Elements of nftables' sets changed over netlink, without nft(8): it reads
 * whole sets first, and takes as long as everything else together. */
#ifndef NETBR_NFTELEM_H
#define NETBR_NFTELEM_H

/* Runs lines of the form fw_delta() makes, "add element FAMILY TABLE SET
 * { ELEMENT }" or "delete element ...", in one transaction. Returns 0, or
 * -errno with nothing changed: -EINVAL also for an element of a kind that is
 * not known here, which nft may know. */
int nft_elements(const char *commands);

#endif
