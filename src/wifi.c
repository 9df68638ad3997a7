#include "wifi.h"

#include <errno.h>
#include <linux/nl80211.h>
#include <net/if.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <stdlib.h>
#include <unistd.h>

static bool phy_below(const char *root, const char *ifname)
{
	_cleanup_free_ char *phy = xasprintf("%s/sys/class/net/%s/phy80211",
					     root, ifname);

	return access(phy, F_OK) == 0;
}

/* sysfs shows the network namespace it was mounted in: a device is only
 * believed to be wireless if its index agrees. */
bool wifi_has_phy(const char *ifname, int index)
{
	_cleanup_free_ char *path = xasprintf("/sys/class/net/%s/ifindex",
					      ifname);
	_cleanup_buf_ struct buf b = { 0 };

	return phy_below("", ifname) && buf_read_file(&b, path, 64) == 0 &&
	       atoi(buf_str(&b)) == index;
}

static int on_interface(struct nl_msg *msg, void *arg)
{
	struct nlattr *a[NL80211_ATTR_MAX + 1];
	struct wifi *w = arg;
	uint32_t type;

	if (genlmsg_parse(nlmsg_hdr(msg), 0, a, NL80211_ATTR_MAX, NULL) < 0 ||
	    !a[NL80211_ATTR_IFTYPE])
		return NL_SKIP;
	type = nla_get_u32(a[NL80211_ATTR_IFTYPE]);
	/* those that the kernel does not bridge (net/wireless/util.c) */
	w->station = type == NL80211_IFTYPE_STATION ||
		     type == NL80211_IFTYPE_P2P_CLIENT ||
		     type == NL80211_IFTYPE_ADHOC ||
		     type == NL80211_IFTYPE_OCB;
	w->four = a[NL80211_ATTR_4ADDR] && nla_get_u8(a[NL80211_ATTR_4ADDR]);
	return NL_SKIP;
}

/* libnl's errors are its own numbers (netlink/errno.h). */
static int to_errno(int rc)
{
	switch (-rc) {
	case 0:
		return 0;
	case NLE_BUSY:
		return -EBUSY;
	case NLE_OPNOTSUPP:
	case NLE_OBJ_NOTFOUND:
		return -EOPNOTSUPP;
	case NLE_PERM:
	case NLE_NOACCESS:
		return -EPERM;
	case NLE_NODEV:
		return -ENODEV;
	default:
		return -EIO;
	}
}

/* four < 0: asks. */
static int request(int cmd, const char *ifname, int four, struct wifi *out)
{
	struct nl_sock *sk = nl_socket_alloc();
	struct nl_msg *msg = nlmsg_alloc();
	int rc, family;

	if (!sk || !msg)
		abort();
	rc = genl_connect(sk);
	family = rc < 0 ? rc : genl_ctrl_resolve(sk, "nl80211");
	rc = family < 0 ? family : 0;
	if (rc == 0 && !genlmsg_put(msg, 0, 0, family, 0, 0, cmd, 0))
		abort();
	if (rc == 0) {
		nla_put_u32(msg, NL80211_ATTR_IFINDEX, if_nametoindex(ifname));
		if (four >= 0)
			nla_put_u8(msg, NL80211_ATTR_4ADDR, four);
		if (out)
			nl_socket_modify_cb(sk, NL_CB_VALID, NL_CB_CUSTOM,
					    on_interface, out);
		rc = nl_send_auto(sk, msg);
	}
	if (rc >= 0 && out)
		rc = nl_recvmsgs_default(sk);
	if (rc >= 0)
		rc = nl_wait_for_ack(sk);
	nlmsg_free(msg);
	nl_socket_free(sk);
	return to_errno(rc < 0 ? rc : 0);
}

bool wifi_ask(const char *root, const char *ifname, struct wifi *out)
{
	bool live = !root || !*root || streq(root, "/");

	*out = (struct wifi){ 0 };
	if (!(live ? wifi_has_phy(ifname, if_nametoindex(ifname)) :
	      phy_below(root, ifname)))
		return false;
	/* without nl80211's word: a station, as nearly all are */
	if (!live || request(NL80211_CMD_GET_INTERFACE, ifname, -1, out) < 0)
		out->station = true;
	return true;
}

int wifi_set_4addr(const char *ifname, bool on)
{
	return request(NL80211_CMD_SET_INTERFACE, ifname, on, NULL);
}
