#include "lease.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define WAIT_MS 1500

static bool parse_line(const char *line, struct lease *l)
{
	char mac[64], ip[64];

	*l = (struct lease){ 0 };
	if (sscanf(line, "%ld %63s %63s %63s %511s", &l->expiry, mac, ip,
		   l->name, l->client_id) != 5)
		return false;
	return mac_parse(mac, &l->mac) && ip_parse(ip, &l->ip) &&
	       l->ip.family == AF_INET;
}

void leases_load(struct leases *l, const char *root, const char *bridge)
{
	_cleanup_free_ char *below = xasprintf("/var/lib/netbr/%s.leases",
					       bridge);
	_cleanup_free_ char *path = path_join(root, below);
	_cleanup_buf_ struct buf text = { 0 };
	long now = time(NULL);
	char *save, *line;

	*l = (struct leases){ 0 };
	if (buf_read_file(&text, path, 64 << 20) < 0 || !text.len)
		return;
	for (line = strtok_r(text.s, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		struct lease one;

		if (!parse_line(line, &one) ||
		    (one.expiry && one.expiry < now))
			continue;
		ARRAY_GROW(l->v, l->n);
		l->v[l->n++] = one;
	}
}

void leases_free(struct leases *l)
{
	free(l->v);
	*l = (struct leases){ 0 };
}

const struct guest *lease_blocks(const struct lease *l, const struct model *m,
				 const struct bridge *b)
{
	for (size_t i = 0; i < m->n_guests; i++) {
		const struct guest *g = m->guests[i];

		if (g->bridge != b || !g->has_mac ||
		    mac_equal(&g->mac, &l->mac))
			continue;
		for (size_t k = 0; k < g->ip.n; k++)
			if (ip_equal(&g->ip.v[k].cidr.ip, &l->ip))
				return g;
	}
	return NULL;
}

/* ---- giving one back ---------------------------------------------------- */

struct bootp {
	uint8_t op, htype, hlen, hops;
	uint32_t xid;
	uint16_t secs, flags;
	uint8_t ciaddr[4], yiaddr[4], siaddr[4], giaddr[4];
	uint8_t chaddr[16], sname[64], file[128];
	uint8_t options[600];
} __attribute__((packed));

/* RFC 2132: 53 message type (7 = release), 54 server, 61 client identifier. */
static size_t put_options(uint8_t *o, const struct lease *l,
			  const struct ip *server)
{
	static const uint8_t cookie[] = { 99, 130, 83, 99, 53, 1, 7, 54, 4 };
	size_t n = sizeof(cookie), id;

	memcpy(o, cookie, n);
	memcpy(o + n, server->b, 4);
	n += 4;
	if (!streq(l->client_id, "*")) {
		const char *p = l->client_id;
		uint8_t *len = o + n + 1;

		o[n] = 61;
		n += 2;
		for (id = 0; *p && id < 255; id++) {
			char *end;

			o[n++] = strtoul(p, &end, 16);
			p = *end ? end + 1 : end;
		}
		*len = id;
	}
	o[n++] = 255;
	return n;
}

static int send_release(const char *bridge, const struct lease *l,
			const struct ip *server)
{
	_cleanup_fd_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons(67) };
	struct bootp p = { .op = 1, .htype = 1, .hlen = 6,
			   .xid = htonl((uint32_t)time(NULL)) };
	size_t n;

	memcpy(p.ciaddr, l->ip.b, 4);
	memcpy(p.chaddr, l->mac.b, 6);
	n = offsetof(struct bootp, options) + put_options(p.options, l,
							  server);
	memcpy(&to.sin_addr, server->b, 4);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, bridge,
				 strlen(bridge) + 1) < 0 ||
	    sendto(fd, &p, n < 300 ? 300 : n, 0, (struct sockaddr *)&to,
		   sizeof(to)) < 0)
		return -errno;
	return 0;
}

static bool find(const char *root, const char *bridge, const struct ip *ip,
		 struct lease *out)
{
	struct leases l;
	bool found = false;

	leases_load(&l, root, bridge);
	for (size_t i = 0; !found && i < l.n; i++)
		if (ip_equal(&l.v[i].ip, ip)) {
			*out = l.v[i];
			found = true;
		}
	leases_free(&l);
	return found;
}

int lease_release(const char *root, const char *bridge, const struct ip *server,
		  const struct ip *ip)
{
	struct lease l;
	int rc;

	if (!find(root, bridge, ip, &l))
		return 0;
	rc = send_release(bridge, &l, server);
	for (int ms = 0; rc == 0 && ms < WAIT_MS; ms += 10) {
		if (!find(root, bridge, ip, &l))
			return 0;
		usleep(10000);
	}
	return rc < 0 ? rc : -ETIMEDOUT;
}
