#include "sys.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <ifaddrs.h>
#include <linux/if_arp.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <poll.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- taps ------------------------------------------------------------- */

static int tap_rights(int fd, const struct ktun *t)
{
	if (t->owner != KFOREVER && ioctl(fd, TUNSETOWNER, (long)t->owner) < 0)
		return -errno;
	if (t->group != KFOREVER && ioctl(fd, TUNSETGROUP, (long)t->group) < 0)
		return -errno;
	return 0;
}

int tap_create(const char *name, const struct ktun *t, unsigned long queues)
{
	_cleanup_fd_ int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	struct ifreq r = { 0 };
	int rc = 0;

	if (fd < 0)
		return -errno;
	str_put(r.ifr_name, sizeof(r.ifr_name), name);
	r.ifr_flags = IFF_TAP | IFF_NO_PI | (t->vnet_hdr ? IFF_VNET_HDR : 0) |
		      (queues > 1 ? IFF_MULTI_QUEUE : 0);
	if (ioctl(fd, TUNSETIFF, &r) < 0)
		return -errno;
	rc = tap_rights(fd, t);
	if (rc == 0 && ioctl(fd, TUNSETPERSIST, 1) < 0)
		rc = -errno;
	return rc;
}

static int carrier_fd = -1;

int carrier_make(char name[IFNAMSIZ])
{
	struct ifreq r = { .ifr_flags = IFF_TAP | IFF_NO_PI };

	carrier_drop();
	carrier_fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	if (carrier_fd < 0)
		return -errno;
	str_put(r.ifr_name, sizeof(r.ifr_name), "netbr%d");
	if (ioctl(carrier_fd, TUNSETIFF, &r) < 0) {
		int rc = -errno;

		carrier_drop();
		return rc;
	}
	str_put(name, IFNAMSIZ, r.ifr_name);
	return 0;
}

bool carrier_wait(const char *bridge)
{
	_cleanup_fd_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq r = { 0 };

	str_put(r.ifr_name, sizeof(r.ifr_name), bridge);
	for (int ms = 0; ms < 2000; ms += 5) {
		/* a bridge that is down gets its carrier when it goes up */
		if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &r) < 0 ||
		    !(r.ifr_flags & IFF_UP) || (r.ifr_flags & IFF_RUNNING))
			return true;
		usleep(5000);
	}
	return false;
}

void carrier_drop(void)
{
	if (carrier_fd >= 0)
		close(carrier_fd);
	carrier_fd = -1;
}

/* /proc/PID/fdinfo/FD of a tun descriptor has a line "iff:\tNAME". */
static bool fdinfo_names(const char *path, const char *name)
{
	_cleanup_buf_ struct buf b = { 0 };
	_cleanup_free_ char *want = xasprintf("iff:\t%s\n", name);

	return buf_read_file(&b, path, 65536) == 0 &&
	       strstr(buf_str(&b), want);
}

static bool process_holds(const char *pid, const char *name)
{
	_cleanup_free_ char *dir = xasprintf("/proc/%s/fd", pid);
	DIR *d = opendir(dir);
	struct dirent *e;
	bool found = false;

	while (d && !found && (e = readdir(d))) {
		char target[32];
		_cleanup_free_ char *fd = xasprintf("%s/%s", dir, e->d_name);
		_cleanup_free_ char *info = xasprintf("/proc/%s/fdinfo/%s",
						      pid, e->d_name);
		ssize_t n = readlink(fd, target, sizeof(target) - 1);

		if (n < 0)
			continue;
		target[n] = '\0';
		found = streq(target, "/dev/net/tun") &&
			fdinfo_names(info, name);
	}
	if (d)
		closedir(d);
	return found;
}

bool tap_held(const char *name)
{
	DIR *d = opendir("/proc");
	struct dirent *e;
	bool found = false;

	while (d && !found && (e = readdir(d)))
		if (e->d_name[0] >= '1' && e->d_name[0] <= '9')
			found = process_holds(e->d_name, name);
	if (d)
		closedir(d);
	return found;
}

/* ---- sysctls ---------------------------------------------------------- */

char *sysctl_read(const char *path)
{
	_cleanup_free_ char *p = xasprintf("/proc/sys/%s", path);
	struct buf b = { 0 };

	if (buf_read_file(&b, p, 65536) < 0) {
		buf_free(&b);
		return NULL;
	}
	buf_puts(&b, "");
	b.s[strcspn(b.s, "\n")] = '\0';
	return b.s;
}

int sysctl_write(const char *path, const char *value)
{
	_cleanup_free_ char *p = xasprintf("/proc/sys/%s", path);
	_cleanup_fd_ int fd = open(p, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		return -errno;
	return 0;
}

/* ---- users ------------------------------------------------------------ */

bool account_id(const char *name, bool group, uint32_t *id)
{
	unsigned long v;

	if (uint_parse(name, 0, UINT32_MAX - 1, &v)) {
		*id = v;
		return true;
	}
	if (group) {
		struct group *g = getgrnam(name);

		if (g)
			*id = g->gr_gid;
		return g;
	}
	struct passwd *p = getpwnam(name);

	if (p)
		*id = p->pw_uid;
	return p;
}

/* ---- announcements ---------------------------------------------------- */

struct arp_frame {
	struct ether_header eth;
	struct arphdr arp;
	uint8_t sender_mac[6], sender_ip[4], target_mac[6], target_ip[4];
} __attribute__((packed));

static void arp_request(struct arp_frame *f, const uint8_t mac[6],
			const void *sender, const void *target)
{
	*f = (struct arp_frame){ 0 };
	memset(f->eth.ether_dhost, 0xff, 6);
	memcpy(f->eth.ether_shost, mac, 6);
	f->eth.ether_type = htons(ETHERTYPE_ARP);
	f->arp.ar_hrd = htons(ARPHRD_ETHER);
	f->arp.ar_pro = htons(ETHERTYPE_IP);
	f->arp.ar_hln = 6;
	f->arp.ar_pln = 4;
	f->arp.ar_op = htons(ARPOP_REQUEST);
	memcpy(f->sender_mac, mac, 6);
	memcpy(f->sender_ip, sender, 4);
	memcpy(f->target_ip, target, 4);
}

/* One that answers `mac`'s question about `ip` is among what arrives in 200
 * ms. */
static bool answered(int fd, const uint8_t mac[6], const uint8_t ip[4])
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	struct arp_frame f;

	for (int n = 0; n < 64 && poll(&p, 1, 200) > 0; n++)
		if (recv(fd, &f, sizeof(f), 0) == sizeof(f) &&
		    ntohs(f.arp.ar_op) == ARPOP_REPLY &&
		    memcmp(f.target_mac, mac, 6) == 0 &&
		    memcmp(f.sender_ip, ip, 4) == 0)
			return true;
	return false;
}

static bool ask_arp(int fd, int index, const uint8_t mac[6],
		    const struct in_addr *self, const uint8_t ip[4],
		    unsigned int ms)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET,
				  .sll_protocol = htons(ETH_P_ARP),
				  .sll_ifindex = index, .sll_halen = 6 };
	struct arp_frame f;

	arp_request(&f, mac, self, ip);
	if (bind(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		return false;
	memset(to.sll_addr, 0xff, 6);
	for (unsigned int t = 0; t < ms; t += 200) {
		/* not connected at this moment: it may be the next */
		if (sendto(fd, &f, sizeof(f), 0, (struct sockaddr *)&to,
			   sizeof(to)) < 0)
			usleep(200000);
		if (answered(fd, mac, ip))
			return true;
	}
	return false;
}

bool arp_answers(const char *ifname, const uint8_t ip[4], unsigned int ms)
{
	_cleanup_fd_ int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC,
				     htons(ETH_P_ARP));
	struct ifreq r = { 0 }, a = { 0 };
	struct in_addr self = { 0 };

	str_put(r.ifr_name, sizeof(r.ifr_name), ifname);
	str_put(a.ifr_name, sizeof(a.ifr_name), ifname);
	if (fd < 0 || ioctl(fd, SIOCGIFHWADDR, &r) < 0)
		return false;
	/* without an address of our own it is a probe (RFC 5227) */
	a.ifr_addr.sa_family = AF_INET;
	if (ioctl(fd, SIOCGIFADDR, &a) == 0)
		self = ((struct sockaddr_in *)&a.ifr_addr)->sin_addr;
	return ask_arp(fd, if_nametoindex(ifname),
		       (const uint8_t *)r.ifr_hwaddr.sa_data, &self, ip, ms);
}

bool arp_answers_mac(const char *ifname, const uint8_t mac[6],
		     const uint8_t ip[4], unsigned int ms)
{
	_cleanup_fd_ int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC,
				     htons(ETH_P_ARP));
	struct packet_mreq m = { .mr_ifindex = if_nametoindex(ifname),
				 .mr_type = PACKET_MR_PROMISC };
	struct in_addr nobody = { 0 };

	return fd >= 0 && setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP,
				     &m, sizeof(m)) == 0 &&
	       ask_arp(fd, m.mr_ifindex, mac, &nobody, ip, ms);
}

static void announce4(int index, const uint8_t mac[6], const struct in_addr *a)
{
	_cleanup_fd_ int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	struct sockaddr_ll to = { .sll_family = AF_PACKET,
				  .sll_ifindex = index, .sll_halen = 6 };
	struct arp_frame f;

	arp_request(&f, mac, a, a);
	memset(to.sll_addr, 0xff, 6);
	if (fd >= 0 && sendto(fd, &f, sizeof(f), 0, (struct sockaddr *)&to,
			      sizeof(to)) < 0)
		return;	/* the neighbours will find out by themselves */
}

static void announce6(int index, const uint8_t mac[6],
		      const struct in6_addr *a)
{
	_cleanup_fd_ int fd = socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC,
				     IPPROTO_ICMPV6);
	struct sockaddr_in6 to = { .sin6_family = AF_INET6,
				   .sin6_scope_id = index };
	struct sockaddr_in6 from = { .sin6_family = AF_INET6,
				     .sin6_scope_id = index,
				     .sin6_addr = *a };
	struct {
		struct nd_neighbor_advert na;
		uint8_t type, len, mac[6];
	} __attribute__((packed)) m = { .type = ND_OPT_TARGET_LINKADDR,
					.len = 1 };
	int hops = 255;

	if (fd < 0)
		return;
	inet_pton(AF_INET6, "ff02::1", &to.sin6_addr);
	m.na.nd_na_type = ND_NEIGHBOR_ADVERT;
	m.na.nd_na_flags_reserved = ND_NA_FLAG_OVERRIDE;
	m.na.nd_na_target = *a;
	memcpy(m.mac, mac, 6);
	setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &hops,
		   sizeof(hops));
	/* from the address itself: it may not be ready in the same moment */
	for (int tries = 0; tries < 20 && bind(fd, (struct sockaddr *)&from,
					       sizeof(from)) < 0; tries++)
		usleep(10000);
	if (sendto(fd, &m, sizeof(m), 0, (struct sockaddr *)&to,
		   sizeof(to)) < 0)
		return;
}

void announce_ip(const char *ifname, const uint8_t ip[4])
{
	_cleanup_fd_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq r = { 0 };
	struct in_addr a;

	memcpy(&a, ip, sizeof(a));
	str_put(r.ifr_name, sizeof(r.ifr_name), ifname);
	if (fd >= 0 && ioctl(fd, SIOCGIFHWADDR, &r) == 0)
		announce4(if_nametoindex(ifname),
			  (const uint8_t *)r.ifr_hwaddr.sa_data, &a);
}

int announce(const char *ifname)
{
	_cleanup_fd_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq r = { 0 };
	struct ifaddrs *all, *i;
	int index = if_nametoindex(ifname);
	const uint8_t *mac = (const uint8_t *)r.ifr_hwaddr.sa_data;

	str_put(r.ifr_name, sizeof(r.ifr_name), ifname);
	if (!index || fd < 0 || ioctl(fd, SIOCGIFHWADDR, &r) < 0 ||
	    getifaddrs(&all) < 0)
		return -errno;
	for (i = all; i; i = i->ifa_next) {
		if (!i->ifa_addr || !streq(i->ifa_name, ifname))
			continue;
		if (i->ifa_addr->sa_family == AF_INET)
			announce4(index, mac, &((struct sockaddr_in *)
						i->ifa_addr)->sin_addr);
		if (i->ifa_addr->sa_family == AF_INET6)
			announce6(index, mac, &((struct sockaddr_in6 *)
						i->ifa_addr)->sin6_addr);
	}
	freeifaddrs(all);
	return 0;
}
