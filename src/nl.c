#include "nl.h"

#include <errno.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

int nlx_open(struct nlx *nl, int protocol)
{
	int on = 1, fd, rc;

	*nl = (struct nlx){ .sk = nl_socket_alloc() };
	if (!nl->sk)
		return -ENOMEM;
	rc = nl_connect(nl->sk, protocol);
	if (rc < 0) {
		nl_socket_free(nl->sk);
		nl->sk = NULL;
		return -EPROTONOSUPPORT;
	}
	fd = nl_socket_get_fd(nl->sk);
	/* Not all kernels know these; we can do without. */
	setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
	setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
	setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof(on));
	nl_socket_set_buffer_size(nl->sk, 1 << 20, 1 << 20);
	nl->in = xrealloc(NULL, NLX_IN_SIZE, 1);
	return 0;
}

void nlx_shut(struct nlx *nl)
{
	if (nl->sk)
		nl_socket_free(nl->sk);
	nl->sk = NULL;
	free(nl->in);
	nl->in = NULL;
}

/* The text of an extended acknowledgement (linux/netlink.h, NLMSGERR_ATTR_*);
 * with NETLINK_CAP_ACK its attributes follow the bare header. */
static void read_why(struct nlx *nl, struct nlmsghdr *h)
{
	struct nlmsgerr *e = nlmsg_data(h);
	size_t skip = sizeof(*e);
	struct nlattr *a;
	int left;

	nl->why[0] = '\0';
	if (!(h->nlmsg_flags & NLM_F_ACK_TLVS))
		return;
	if (!(h->nlmsg_flags & NLM_F_CAPPED))
		skip += NLMSG_ALIGN(e->msg.nlmsg_len) - sizeof(e->msg);
	if (h->nlmsg_len < NLMSG_HDRLEN + skip)
		return;
	a = (struct nlattr *)((char *)e + skip);
	left = h->nlmsg_len - NLMSG_HDRLEN - skip;
	for (; nla_ok(a, left); a = nla_next(a, &left))
		if (nla_type(a) == NLMSGERR_ATTR_MSG)
			nla_strlcpy(nl->why, a, sizeof(nl->why));
}

static int send_bytes(struct nlx *nl, const void *p, size_t len)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	ssize_t n;

	do
		n = sendto(nl_socket_get_fd(nl->sk), p, len, 0,
			   (struct sockaddr *)&kernel, sizeof(kernel));
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

static ssize_t receive(struct nlx *nl, void *p, size_t len)
{
	ssize_t n;

	do
		n = recv(nl_socket_get_fd(nl->sk), p, len, MSG_TRUNC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return (size_t)n > len ? -EMSGSIZE : n;
}

static void finish(struct nlx *nl, struct nl_msg *msg)
{
	struct nlmsghdr *h = nlmsg_hdr(msg);

	h->nlmsg_flags |= NLM_F_REQUEST;
	h->nlmsg_seq = nl_socket_use_seq(nl->sk);
	h->nlmsg_pid = nl_socket_get_local_port(nl->sk);
}

/* Waits for the acknowledgement of the last of `n` messages from first_seq
 * on; those before are answered only if they fail. */
static int wait_ack(struct nlx *nl, uint32_t first_seq, unsigned int n,
		    unsigned int *failed,
		    bool (*ignore)(void *arg, unsigned int n, int rc),
		    void *arg)
{
	char *p = nl->in;
	bool last = false;
	int rc = 0;

	while (!last) {
		ssize_t len = receive(nl, p, NLX_IN_SIZE);
		struct nlmsghdr *h = (struct nlmsghdr *)p;
		int left = len;

		if (len < 0)
			return len;
		for (; nlmsg_ok(h, left); h = nlmsg_next(h, &left)) {
			struct nlmsgerr *e = nlmsg_data(h);

			if (h->nlmsg_type != NLMSG_ERROR ||
			    h->nlmsg_seq - first_seq >= n)
				continue;
			last |= h->nlmsg_seq - first_seq == n - 1;
			if (e->error && rc == 0 &&
			    !(ignore && ignore(arg, h->nlmsg_seq - first_seq,
					       e->error))) {
				rc = e->error;
				*failed = h->nlmsg_seq - first_seq;
				read_why(nl, h);
			}
		}
	}
	return rc;
}

int nlx_ask(struct nlx *nl, struct nl_msg *msg)
{
	struct nlmsghdr *h = nlmsg_hdr(msg);
	unsigned int failed;
	uint32_t seq;
	int rc;

	nl->why[0] = '\0';
	h->nlmsg_flags |= NLM_F_ACK;
	finish(nl, msg);
	seq = h->nlmsg_seq;
	nl->changes++;
	rc = send_bytes(nl, h, h->nlmsg_len);
	nlmsg_free(msg);
	return rc < 0 ? rc : wait_ack(nl, seq, 1, &failed, NULL, NULL);
}

int nlx_get(struct nlx *nl, struct nl_msg *msg, nlx_dump_fn fn, void *arg)
{
	struct nlmsghdr *req = nlmsg_hdr(msg), *h = (void *)nl->in;
	uint32_t seq;
	ssize_t len;
	int rc;

	nl->why[0] = '\0';
	finish(nl, msg);
	seq = req->nlmsg_seq;
	rc = send_bytes(nl, req, req->nlmsg_len);
	nlmsg_free(msg);
	while (rc == 0) {
		int left;

		len = receive(nl, nl->in, NLX_IN_SIZE);
		if (len < 0)
			return len;
		left = len;
		/* what was left of an earlier answer is passed over */
		if (!nlmsg_ok(h, left) || h->nlmsg_seq != seq)
			continue;
		if (h->nlmsg_type == NLMSG_ERROR)
			return ((struct nlmsgerr *)nlmsg_data(h))->error;
		fn(h, arg);
		break;
	}
	return rc;
}

static void batch_put(struct nlx_batch *b, struct nl_msg *msg)
{
	static const char pad[NLMSG_ALIGNTO];
	struct nlmsghdr *h = nlmsg_hdr(msg);

	buf_add(&b->bytes, h, h->nlmsg_len);
	buf_add(&b->bytes, pad, NLMSG_ALIGN(h->nlmsg_len) - h->nlmsg_len);
	nlmsg_free(msg);
}

void nlx_batch_add(struct nlx *nl, struct nlx_batch *b, struct nl_msg *msg)
{
	finish(nl, msg);
	if (!b->n++)
		b->first_seq = nlmsg_hdr(msg)->nlmsg_seq;
	nl->changes++;
	b->last = b->bytes.len;
	batch_put(b, msg);
}

void nlx_batch_mark(struct nlx *nl, struct nlx_batch *b, struct nl_msg *msg)
{
	struct nlmsghdr *h = nlmsg_hdr(msg);

	/* no number: those of the others follow each other */
	h->nlmsg_flags |= NLM_F_REQUEST;
	h->nlmsg_pid = nl_socket_get_local_port(nl->sk);
	batch_put(b, msg);
}

int nlx_batch_send(struct nlx *nl, struct nlx_batch *b, unsigned int *failed,
		   bool (*ignore)(void *arg, unsigned int n, int rc),
		   void *arg)
{
	int rc = 0;

	nl->why[0] = '\0';
	*failed = 0;
	if (b->n) {
		((struct nlmsghdr *)(void *)(b->bytes.s + b->last))
			->nlmsg_flags |= NLM_F_ACK;
		rc = send_bytes(nl, b->bytes.s, b->bytes.len);
		if (rc == 0)
			rc = wait_ack(nl, b->first_seq, b->n, failed, ignore,
				      arg);
	}
	buf_free(&b->bytes);
	b->n = 0;
	return rc;
}

/* One round of a dump: 0 complete, 1 inconsistent, -errno. */
static int dump_once(struct nlx *nl, struct nl_msg *msg, char *p,
		     nlx_dump_fn fn, void *arg)
{
	struct nlmsghdr *req = nlmsg_hdr(msg);
	bool intr = false;
	int rc, overruns = 0;

	req->nlmsg_flags |= NLM_F_DUMP;
	finish(nl, msg);
	rc = send_bytes(nl, req, req->nlmsg_len);
	if (rc < 0)
		return rc;
	for (;;) {
		ssize_t len = receive(nl, p, NLX_IN_SIZE);
		struct nlmsghdr *h = (struct nlmsghdr *)p;
		int left = len;

		/* something was dropped for want of memory: the rest is
		 * taken off, and everything asked for again */
		if (len == -ENOBUFS && overruns++ < 16) {
			intr = true;
			continue;
		}
		if (len < 0)
			return len;
		for (; nlmsg_ok(h, left); h = nlmsg_next(h, &left)) {
			if (h->nlmsg_seq != req->nlmsg_seq)
				continue;
			intr |= h->nlmsg_flags & NLM_F_DUMP_INTR;
			if (h->nlmsg_type == NLMSG_DONE) {
				int *err = nlmsg_data(h);

				return *err < 0 ? *err : intr;
			}
			if (h->nlmsg_type == NLMSG_ERROR) {
				struct nlmsgerr *e = nlmsg_data(h);

				read_why(nl, h);
				return e->error;
			}
			fn(h, arg);
		}
	}
}

int nlx_dump(struct nlx *nl, struct nl_msg *msg, nlx_dump_fn fn,
	    void (*again)(void *arg), void *arg)
{
	int rc = 1;

	nl->why[0] = '\0';
	for (int tries = 0; rc == 1 && tries < 8; tries++) {
		if (tries && again)
			again(arg);
		rc = dump_once(nl, msg, nl->in, fn, arg);
	}
	nlmsg_free(msg);
	/* "could not ask" must never look like "absent" */
	return rc == 1 ? -EAGAIN : rc;
}
