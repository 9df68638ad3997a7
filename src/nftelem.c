#include "nftelem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <netlink/attr.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "addr.h"
#include "nft.h"

/* nft's numbers for types of data (nftables, include/datatype.h), which the
 * kernel keeps with a set; those of a concatenation follow each other in 6
 * bits each. */
enum { NFT_INTEGER = 4, NFT_IPADDR = 7, NFT_IP6ADDR = 8, NFT_ETHERADDR = 9,
       NFT_IFNAME = 41 };

/* A key or its datum, as the kernel holds it. */
struct value {
	uint8_t b[64];
	size_t len;
	uint32_t type;
};

struct element {
	struct value key, data;
	bool is_map;
};

/* ---- text to bytes ----------------------------------------------------- */

/* "0x" and two digits a byte: the first byte first. */
static size_t hex_bytes(const char *s, uint8_t *out, size_t room)
{
	size_t n = strlen(s) / 2 - 1;

	return strlen(s) % 2 || n > room || !hex_decode(s + 2, out, n) ? 0 : n;
}

/* One word of an element; its length in bytes, 0 if it is none known. */
static size_t word_bytes(const char *s, uint8_t out[IFNAMSIZ], uint32_t *type)
{
	size_t len = strlen(s);
	struct mac mac;
	struct ip ip;

	memset(out, 0, IFNAMSIZ);
	if (len > 2 && len < IFNAMSIZ + 2 && *s == '"' && s[len - 1] == '"') {
		memcpy(out, s + 1, len - 2);
		*type = NFT_IFNAME;
		return IFNAMSIZ;
	}
	if (str_begins(s, "0x")) {
		*type = NFT_INTEGER;
		return hex_bytes(s, out, IFNAMSIZ);
	}
	if (mac_parse(s, &mac)) {
		memcpy(out, mac.b, sizeof(mac.b));
		*type = NFT_ETHERADDR;
		return sizeof(mac.b);
	}
	if (!ip_parse(s, &ip))
		return 0;
	*type = ip.family == AF_INET ? NFT_IPADDR : NFT_IP6ADDR;
	memcpy(out, ip.b, ip_bits(&ip) / 8);
	return ip_bits(&ip) / 8;
}

/* Words with " . " between them: each begins at a multiple of 4 bytes. */
static bool parse_value(char *text, struct value *v)
{
	*v = (struct value){ 0 };
	for (char *word = text, *next; word; word = next) {
		uint8_t bytes[IFNAMSIZ];
		uint32_t type;
		size_t len;

		next = strstr(word, " . ");
		if (next) {
			*next = '\0';
			next += 3;
		}
		len = word_bytes(word, bytes, &type);
		v->len = (v->len + 3) & ~(size_t)3;
		if (!len || v->len + len > sizeof(v->b))
			return false;
		memcpy(v->b + v->len, bytes, len);
		v->len += len;
		v->type = v->type << 6 | type;
		if (word != text)
			v->len = (v->len + 3) & ~(size_t)3;
	}
	return true;
}

static bool parse_element(char *text, struct element *e)
{
	char *data = strstr(text, " : ");

	e->is_map = data;
	e->data = (struct value){ 0 };
	if (data) {
		*data = '\0';
		if (!parse_value(data + 3, &e->data))
			return false;
	}
	return parse_value(text, &e->key);
}

/* ---- sets ---------------------------------------------------------------- */

struct set {
	char family[8], table[32], name[32];
	uint8_t nf;
	uint32_t key_type, key_len, data_type, data_len;
	bool found, is_map;
};

static uint32_t number(struct nlattr *a)
{
	return a ? ntohl(nla_get_u32(a)) : 0;
}

static void on_set(struct nlmsghdr *h, void *arg)
{
	struct nlattr *a[NFTA_SET_MAX + 1];
	struct set *s = arg;

	if (!nft_parse(h, NFT_MSG_NEWSET, a, NFTA_SET_MAX))
		return;
	s->found = true;
	s->key_type = number(a[NFTA_SET_KEY_TYPE]);
	s->key_len = number(a[NFTA_SET_KEY_LEN]);
	s->is_map = number(a[NFTA_SET_FLAGS]) & NFT_SET_MAP;
	s->data_type = number(a[NFTA_SET_DATA_TYPE]);
	s->data_len = number(a[NFTA_SET_DATA_LEN]);
}

/* What the kernel says of the set; asked once for a run of elements. */
static bool look_up(struct nlx *nl, struct set *s)
{
	const struct nft_family *family = nft_family_named(s->family);
	struct nl_msg *msg;

	if (!family)
		return false;
	s->nf = family->nf;
	msg = nft_request(NFT_MSG_GETSET, s->nf);
	nla_put_string(msg, NFTA_SET_TABLE, s->table);
	nla_put_string(msg, NFTA_SET_NAME, s->name);
	return nlx_get(nl, msg, on_set, s) == 0 && s->found;
}

static bool fits(const struct set *s, const struct element *e)
{
	return e->key.type == s->key_type && e->key.len == s->key_len &&
	       e->is_map == s->is_map &&
	       (!e->is_map || (e->data.type == s->data_type &&
			       e->data.len == s->data_len));
}

/* ---- the transaction ----------------------------------------------------- */

/* Marks the begin and end of a transaction (linux/netfilter/nfnetlink.h). */
static struct nl_msg *batch_mark(int type)
{
	struct nfgenmsg g = { .nfgen_family = AF_UNSPEC,
			      .version = NFNETLINK_V0,
			      .res_id = htons(NFNL_SUBSYS_NFTABLES) };
	struct nl_msg *msg = nlmsg_alloc_simple(type, 0);

	if (!msg || nlmsg_append(msg, &g, sizeof(g), NLMSG_ALIGNTO) < 0)
		abort();
	return msg;
}

static void put_value(struct nl_msg *msg, int attr, const struct value *v)
{
	struct nlattr *nest = nla_nest_start(msg, attr);

	nla_put(msg, NFTA_DATA_VALUE, v->len, v->b);
	nla_nest_end(msg, nest);
}

static void add_element(struct nlx *nl, struct nlx_batch *b,
			const struct set *s, bool add,
			const struct element *e)
{
	struct nl_msg *msg = nft_request(add ? NFT_MSG_NEWSETELEM :
					 NFT_MSG_DELSETELEM, s->nf);
	struct nlattr *list, *one;

	if (add)
		nlmsg_hdr(msg)->nlmsg_flags |= NLM_F_CREATE;
	nla_put_string(msg, NFTA_SET_ELEM_LIST_TABLE, s->table);
	nla_put_string(msg, NFTA_SET_ELEM_LIST_SET, s->name);
	list = nla_nest_start(msg, NFTA_SET_ELEM_LIST_ELEMENTS);
	one = nla_nest_start(msg, NFTA_LIST_ELEM);
	put_value(msg, NFTA_SET_ELEM_KEY, &e->key);
	if (add && e->is_map)
		put_value(msg, NFTA_SET_ELEM_DATA, &e->data);
	nla_nest_end(msg, one);
	nla_nest_end(msg, list);
	nlx_batch_add(nl, b, msg);
}

/* One line into the batch. Sets are asked for on a socket of their own: the
 * batch's messages are numbered without a gap. */
static int add_line(struct nlx *nl, struct nlx *asks, struct nlx_batch *b,
		    struct set *last, char *line)
{
	char verb[8], family[8], table[32], name[32];
	struct element e;
	char *open = strstr(line, " { "), *close = strstr(line, " }");
	bool add;

	if (!open || !close || close[2] ||
	    sscanf(line, "%7s element %7s %31s %31s {", verb, family, table,
		   name) != 4)
		return -EINVAL;
	add = streq(verb, "add");
	*close = '\0';
	if ((!add && !streq(verb, "delete")) || !parse_element(open + 3, &e))
		return -EINVAL;
	if (!last->found || !streq(last->name, name) ||
	    !streq(last->family, family) || !streq(last->table, table)) {
		*last = (struct set){ 0 };
		str_put(last->family, sizeof(last->family), family);
		str_put(last->table, sizeof(last->table), table);
		str_put(last->name, sizeof(last->name), name);
		if (!look_up(asks, last))
			return -EINVAL;
	}
	if (!fits(last, &e))
		return -EINVAL;
	add_element(nl, b, last, add, &e);
	return 0;
}

int nft_elements(const char *commands)
{
	/* the kernel answers at once, or it does not know such a batch */
	static const struct timeval patience = { .tv_sec = 5 };
	_cleanup_free_ char *text = xstrdup(commands);
	struct nlx_batch b = { 0 };
	struct set set = { .found = false };
	char *save = NULL;
	unsigned int failed;
	struct nlx *nl = nft_socket(), asks;
	int rc = nl ? nlx_open(&asks, NETLINK_NETFILTER) : -ENOMEM;

	if (rc < 0)
		return rc;
	setsockopt(nl_socket_get_fd(nl->sk), SOL_SOCKET, SO_RCVTIMEO, &patience,
		   sizeof(patience));
	nlx_batch_mark(nl, &b, batch_mark(NFNL_MSG_BATCH_BEGIN));
	for (char *line = strtok_r(text, "\n", &save); line && rc == 0;
	     line = strtok_r(NULL, "\n", &save))
		rc = add_line(nl, &asks, &b, &set, line);
	nlx_batch_mark(nl, &b, batch_mark(NFNL_MSG_BATCH_END));
	nlx_shut(&asks);	/* afterwards that takes long: see nft.h */
	if (rc == 0)
		rc = nlx_batch_send(nl, &b, &failed, NULL, NULL);
	else
		buf_free(&b.bytes);
	return rc;
}
