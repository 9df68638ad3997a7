/* What nl80211 says of a Wi-Fi interface (linux/nl80211.h). */
#ifndef NETBR_WIFI_H
#define NETBR_WIFI_H

#include "util.h"

struct wifi {
	bool station;		/* of an access point: its frames carry one
				 * MAC address of ours, unless: */
	bool four;		/* 4-address mode (WDS) is on */
};

/* Has the device of this index a radio (a phy80211 link in sysfs)? */
bool wifi_has_phy(const char *ifname, int index);
/* Asks; false if the interface is no Wi-Fi one. root other than the live
 * system's ("" or "/") is asked in its sys/class/net alone. */
bool wifi_ask(const char *root, const char *ifname, struct wifi *out);
/* Switches 4-address mode. Returns 0 or -errno: -EOPNOTSUPP where the driver
 * can't, -EBUSY while the interface is a port of a bridge. */
int wifi_set_4addr(const char *ifname, bool on);

#endif
