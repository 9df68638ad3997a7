/* The floor: the least work that does the job, for comparison. One bridge, N
 * persistent taps, raw rtnetlink and tun ioctls in the fastest legal order,
 * nothing checked but the kernel's errors. Run it in a network namespace of
 * your own.
 *
 *   floor create N     bridge (STP on) + N taps: MAC, owner, up, enslaved
 *   floor dump         links and addresses, read and thrown away
 *   floor add N        dump, then tap number N as well
 *   floor down N       taps in groups of 64, then the bridge
 *   floor clear        all devices of the namespace but lo, by a group
 *   floor parse FILE   vmnet.conf through libconfuse, and nothing else
 *   floor blast TAP COUNT DST SRC SADDR   frames from a guest; prints the CPU
 *                      time of each in ns (the whole path, in this process)
 *   floor nothing      start and end
 */
#include <arpa/inet.h>
#include <confuse.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define GROUP 4711u

static int nl;
static char out[8 << 20];
static size_t used;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static struct nlmsghdr *begin(int type, int flags, const void *head, size_t n)
{
	struct nlmsghdr *h = (void *)(out + used);

	memset(h, 0, NLMSG_SPACE(n));
	h->nlmsg_type = type;
	h->nlmsg_flags = NLM_F_REQUEST | flags;
	h->nlmsg_len = NLMSG_LENGTH(n);
	memcpy(NLMSG_DATA(h), head, n);
	return h;
}

static struct rtattr *put(struct nlmsghdr *h, int type, const void *d,
			  size_t n)
{
	struct rtattr *a = (void *)((char *)h + NLMSG_ALIGN(h->nlmsg_len));

	a->rta_type = type;
	a->rta_len = RTA_LENGTH(n);
	if (n)
		memcpy(RTA_DATA(a), d, n);
	h->nlmsg_len = NLMSG_ALIGN(h->nlmsg_len) + RTA_ALIGN(a->rta_len);
	return a;
}

static void nest_end(struct nlmsghdr *h, struct rtattr *a)
{
	a->rta_len = (char *)h + NLMSG_ALIGN(h->nlmsg_len) - (char *)a;
}

static void end(struct nlmsghdr *h)
{
	used += NLMSG_ALIGN(h->nlmsg_len);
}

/* Everything in one send; the last message is answered, and errors are. */
static void flush(void)
{
	static char in[65536];
	size_t at = 0;
	struct nlmsghdr *last = NULL;

	while (at < used) {
		last = (void *)(out + at);
		at += NLMSG_ALIGN(last->nlmsg_len);
	}
	if (!last)
		return;
	last->nlmsg_flags |= NLM_F_ACK;
	if (send(nl, out, used, 0) < 0)
		die("send");
	used = 0;
	for (;;) {
		ssize_t n = recv(nl, in, sizeof(in), 0);

		if (n < 0)
			die("recv");
		for (struct nlmsghdr *h = (void *)in; NLMSG_OK(h, n);
		     h = NLMSG_NEXT(h, n)) {
			struct nlmsgerr *e = NLMSG_DATA(h);

			if (h->nlmsg_type != NLMSG_ERROR)
				continue;
			if (e->error) {
				errno = -e->error;
				die("kernel");
			}
			return;
		}
	}
}

static void tap(int i)
{
	struct ifreq r = { .ifr_flags = IFF_TAP | IFF_NO_PI };
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	snprintf(r.ifr_name, IFNAMSIZ, "t%d", i);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &r) < 0 ||
	    ioctl(fd, TUNSETOWNER, 1L) < 0 || ioctl(fd, TUNSETPERSIST, 1L) < 0)
		die("tap");
	close(fd);
}

static int br_index(void)
{
	return if_nametoindex("br0");
}

static void look(int i)
{
	struct ifinfomsg m = { .ifi_family = AF_UNSPEC };
	struct nlmsghdr *h = begin(RTM_GETLINK, 0, &m, sizeof(m));
	unsigned int mask = RTEXT_FILTER_SKIP_STATS;
	char name[IFNAMSIZ];

	snprintf(name, sizeof(name), "t%d", i);
	put(h, IFLA_IFNAME, name, strlen(name) + 1);
	put(h, IFLA_EXT_MASK, &mask, 4);
	end(h);
}

static void port(int i, int br)
{
	struct ifinfomsg m = { .ifi_change = IFF_UP, .ifi_flags = IFF_UP };
	struct nlmsghdr *h = begin(RTM_NEWLINK, 0, &m, sizeof(m));
	unsigned char mac[6] = { 0xfe, 0x54, 0, 0, i >> 8, i };
	char name[IFNAMSIZ];

	snprintf(name, sizeof(name), "t%d", i);
	put(h, IFLA_IFNAME, name, strlen(name) + 1);
	put(h, IFLA_ADDRESS, mac, 6);
	put(h, IFLA_MASTER, &br, 4);
	end(h);
}

static void bridge_set(int create, int snooping)
{
	struct ifinfomsg m = { .ifi_change = IFF_UP, .ifi_flags = IFF_UP };
	struct nlmsghdr *h = begin(RTM_NEWLINK, create ? NLM_F_CREATE |
				   NLM_F_EXCL : 0, &m, sizeof(m));
	unsigned char mac[6] = { 0x52, 0x54, 0xff, 0, 0, 1 }, s = snooping;
	unsigned int stp = 1, fd = 400, ht = 200;
	struct rtattr *info, *data;

	put(h, IFLA_IFNAME, "br0", 4);
	if (create)
		put(h, IFLA_ADDRESS, mac, 6);
	info = put(h, IFLA_LINKINFO | NLA_F_NESTED, NULL, 0);
	put(h, IFLA_INFO_KIND, "bridge", 7);
	data = put(h, IFLA_INFO_DATA | NLA_F_NESTED, NULL, 0);
	if (create) {
		put(h, IFLA_BR_FORWARD_DELAY, &fd, 4);
		put(h, IFLA_BR_HELLO_TIME, &ht, 4);
		put(h, IFLA_BR_STP_STATE, &stp, 4);
	}
	put(h, IFLA_BR_MCAST_SNOOPING, &s, 1);
	nest_end(h, data);
	nest_end(h, info);
	end(h);
}

static void create(int n)
{
	int br;

	for (int i = 0; i < n; i++)
		tap(i);
	bridge_set(1, 0);
	flush();
	br = br_index();
	/* a question for a link makes the kernel note that it has no carrier:
	 * else each port that joins makes the bridge go through all others */
	for (int i = 0; i < n; i++) {
		look(i);
		port(i, br);
		if (i % 64 == 63)
			flush();
	}
	bridge_set(0, 1);
	flush();
}

static void dump_one(int type, const void *head, size_t n)
{
	static char in[1 << 20];
	struct nlmsghdr *h = begin(type, NLM_F_DUMP, head, n);

	end(h);
	if (send(nl, out, used, 0) < 0)
		die("send");
	used = 0;
	for (;;) {
		ssize_t k = recv(nl, in, sizeof(in), 0);

		if (k < 0)
			die("recv");
		for (h = (void *)in; NLMSG_OK(h, k); h = NLMSG_NEXT(h, k))
			if (h->nlmsg_type == NLMSG_DONE)
				return;
	}
}

static void dump(void)
{
	struct ifinfomsg l = { .ifi_family = AF_UNSPEC };
	struct ifaddrmsg a = { .ifa_family = AF_UNSPEC };

	dump_one(RTM_GETLINK, &l, sizeof(l));
	dump_one(RTM_GETADDR, &a, sizeof(a));
}

static void down(int n)
{
	struct ifinfomsg any = { .ifi_family = AF_UNSPEC };
	struct ifinfomsg off = { .ifi_index = br_index(),
				 .ifi_change = IFF_UP };
	unsigned int group = GROUP;
	struct nlmsghdr *h = begin(RTM_NEWLINK, 0, &off, sizeof(off));

	end(h);
	for (int i = 0; i < n;) {
		for (int k = 0; k < 64 && i < n; k++, i++) {
			char name[IFNAMSIZ];

			snprintf(name, sizeof(name), "t%d", i);
			h = begin(RTM_NEWLINK, 0, &any, sizeof(any));
			put(h, IFLA_IFNAME, name, strlen(name) + 1);
			put(h, IFLA_GROUP, &group, 4);
			end(h);
		}
		if (i >= n) {
			h = begin(RTM_NEWLINK, 0, &any, sizeof(any));
			put(h, IFLA_IFNAME, "br0", 4);
			put(h, IFLA_GROUP, &group, 4);
			end(h);
		}
		h = begin(RTM_DELLINK, 0, &any, sizeof(any));
		put(h, IFLA_GROUP, &group, 4);
		end(h);
		flush();
	}
}

/* What has index 2 and more goes; veths take their peers along. */
static void clear(void)
{
	struct ifinfomsg any = { .ifi_family = AF_UNSPEC };
	struct if_nameindex *all = if_nameindex();
	unsigned int group = GROUP;
	struct nlmsghdr *h;
	int n = 0;

	for (int i = 0; all && all[i].if_index; i++) {
		if (!strcmp(all[i].if_name, "lo"))
			continue;
		h = begin(RTM_NEWLINK, 0, &any, sizeof(any));
		put(h, IFLA_IFNAME, all[i].if_name,
		    strlen(all[i].if_name) + 1);
		put(h, IFLA_GROUP, &group, 4);
		end(h);
		n++;
	}
	if_freenameindex(all);
	if (!n)
		return;
	h = begin(RTM_DELLINK, 0, &any, sizeof(any));
	put(h, IFLA_GROUP, &group, 4);
	end(h);
	flush();
}

static int value(cfg_t *cfg, cfg_opt_t *opt, const char *v, void *result)
{
	(void)cfg;
	(void)opt;
	*(void **)result = strdup(v);
	return 0;
}

static void parse(const char *file)
{
	cfg_opt_t dhcp[] = { CFG_PTR_LIST_CB("range", 0, CFGF_NONE, value,
					     free), CFG_END() };
	cfg_opt_t bridge[] = {
		CFG_PTR_LIST_CB("mode", 0, CFGF_NONE, value, free),
		CFG_PTR_LIST_CB("stp", 0, CFGF_NONE, value, free),
		CFG_PTR_LIST_CB("forward_delay", 0, CFGF_NONE, value, free),
		CFG_PTR_LIST_CB("hello_time", 0, CFGF_NONE, value, free),
		CFG_PTR_LIST_CB("mac", 0, CFGF_NONE, value, free),
		CFG_PTR_LIST_CB("address", 0, CFGF_NONE, value, free),
		CFG_SEC("dhcp", dhcp, CFGF_NONE), CFG_END() };
	cfg_opt_t guest[] = {
		CFG_PTR_LIST_CB("bridge", 0, CFGF_NONE, value, free),
		CFG_PTR_LIST_CB("tap", 0, CFGF_NONE, value, free),
		CFG_PTR_LIST_CB("mac", 0, CFGF_NONE, value, free),
		CFG_PTR_LIST_CB("ip", 0, CFGF_NONE, value, free),
		CFG_PTR_LIST_CB("owner", 0, CFGF_NONE, value, free),
		CFG_END() };
	cfg_opt_t root[] = {
		CFG_PTR_LIST_CB("firewall", 0, CFGF_NONE, value, free),
		CFG_SEC("bridge", bridge, CFGF_MULTI | CFGF_TITLE),
		CFG_SEC("guest", guest, CFGF_MULTI | CFGF_TITLE), CFG_END() };
	cfg_t *cfg = cfg_init(root, CFGF_NONE);

	if (cfg_parse(cfg, file) != CFG_SUCCESS)
		die(file);
	cfg_free(cfg);
}

static double cpu_ns(void)
{
	struct rusage r;

	getrusage(RUSAGE_SELF, &r);
	return (r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1e9 +
	       (r.ru_utime.tv_usec + r.ru_stime.tv_usec) * 1e3;
}

static void hex(unsigned char *to, const char *s, int n)
{
	for (int i = 0; i < n; i++)
		to[i] = strtoul((char[]){ s[2 * i], s[2 * i + 1], 0 }, NULL,
				16);
}

static void blast(char **v)
{
	struct ifreq r = { .ifr_flags = IFF_TAP | IFF_NO_PI };
	unsigned char f[60] = { 0 };
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC), n = atoi(v[1]);
	double best = 0;

	snprintf(r.ifr_name, IFNAMSIZ, "%s", v[0]);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &r) < 0)
		die("tap");
	hex(f, v[2], 6);
	hex(f + 6, v[3], 6);
	f[12] = 8;
	memcpy(f + 14, "\x45\0\0\x2e\0\0\0\0\x40\x11", 10);
	hex(f + 26, v[4], 4);
	memcpy(f + 30, "\x0a\0\0\x63\x12\x34\0\x09\0\x1a", 10);
	/* the best of ten: what others do on the machine only adds */
	for (int round = 0; round < 11; round++) {
		double t = cpu_ns();

		for (int i = 0; i < n / 10; i++)
			if (write(fd, f, sizeof(f)) < 0)
				die("write");
		t = (cpu_ns() - t) / (n / 10);
		if (round && (best == 0 || t < best))	/* the first warms */
			best = t;
	}
	printf("%.1f\n", best);
}

int main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";
	int n = argc > 2 ? atoi(argv[2]) : 0, one = 1, size = 8 << 20;

	nl = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	setsockopt(nl, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	setsockopt(nl, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	setsockopt(nl, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));
	if (!strcmp(verb, "create")) {
		create(n);
	} else if (!strcmp(verb, "dump")) {
		dump();
	} else if (!strcmp(verb, "add")) {
		dump();
		tap(n);
		port(n, br_index());
		flush();
	} else if (!strcmp(verb, "down")) {
		down(n);
	} else if (!strcmp(verb, "clear")) {
		clear();
	} else if (!strcmp(verb, "parse") && argc == 3) {
		parse(argv[2]);
	} else if (!strcmp(verb, "blast") && argc == 7) {
		blast(argv + 2);
	} else if (strcmp(verb, "nothing")) {
		fprintf(stderr, "see the top of floor.c\n");
		return 2;
	}
	return 0;
}
