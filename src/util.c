#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void util_freep(void *pp)
{
	free(*(void **)pp);
}

void util_closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

void util_fclosep(FILE **f)
{
	if (*f)
		fclose(*f);
}

static void __attribute__((noreturn)) out_of_memory(void)
{
	static const char text[] = "netbr: out of memory\n";

	if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
		_exit(1);
	_exit(1);
}

void *xcalloc(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size ? size : 1);

	if (!p)
		out_of_memory();
	return p;
}

void *xrealloc(void *p, size_t n, size_t size)
{
	if (size && n > SIZE_MAX / size)
		out_of_memory();
	p = realloc(p, n && size ? n * size : 1);
	if (!p)
		out_of_memory();
	return p;
}

char *xstrndup(const char *s, size_t n)
{
	char *p = strndup(s, n);

	if (!p)
		out_of_memory();
	return p;
}

char *xstrdup(const char *s)
{
	char *p = strdup(s);

	if (!p)
		out_of_memory();
	return p;
}

char *xasprintf(const char *fmt, ...)
{
	va_list ap;
	char *p;

	va_start(ap, fmt);
	if (vasprintf(&p, fmt, ap) < 0)
		out_of_memory();
	va_end(ap);
	return p;
}

uint64_t fnv64(uint64_t h, const void *data, size_t len)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * 0x100000001b3ull;
	return h;
}

uint64_t hash_text(const char *text, size_t len)
{
	uint64_t h = 0xcbf29ce484222325ull, word;
	size_t i = 0;

	for (; i + sizeof(word) <= len; i += sizeof(word)) {
		memcpy(&word, text + i, sizeof(word));
		h = (h ^ word) * 0x100000001b3ull;
		h ^= h >> 32;
	}
	return fnv64(h, text + i, len - i);
}

char *hex_encode(const uint8_t *b, size_t n, char *out)
{
	static const char digits[] = "0123456789abcdef";
	char *p = out;

	for (size_t i = 0; i < n; i++) {
		*p++ = digits[b[i] >> 4];
		*p++ = digits[b[i] & 15];
	}
	*p = '\0';
	return out;
}

static int nibble(char c)
{
	return c >= '0' && c <= '9' ? c - '0' :
	       c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool hex_decode(const char *s, uint8_t *out, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int hi = nibble(s[2 * i]), lo = nibble(s[2 * i + 1]);

		if (hi < 0 || lo < 0)
			return false;
		out[i] = hi << 4 | lo;
	}
	return true;
}

bool streq(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

bool str_begins(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

char *str_put(char *dst, size_t size, const char *s)
{
	size_t len = strnlen(s, size - 1);

	memcpy(dst, s, len);
	dst[len] = '\0';
	return dst;
}

char *path_join(const char *root, const char *path)
{
	if (!root || !*root || streq(root, "/"))
		return xstrdup(path);
	return xasprintf("%s%s", root, path);
}

/* Edit distance of two short words, cut off at 40 characters. */
static unsigned int edit_distance(const char *a, const char *b)
{
	unsigned int row[41], la = strlen(a), lb = strlen(b);

	if (la > 40 || lb > 40)
		return 99;
	for (unsigned int j = 0; j <= lb; j++)
		row[j] = j;
	for (unsigned int i = 1; i <= la; i++) {
		unsigned int diag = row[0];

		row[0] = i;
		for (unsigned int j = 1; j <= lb; j++) {
			unsigned int up = row[j];
			unsigned int best = diag + (a[i - 1] != b[j - 1]);

			if (up + 1 < best)
				best = up + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			diag = up;
			row[j] = best;
		}
	}
	return row[lb];
}

const char *str_nearest(const char *word, const char *const *words, size_t n)
{
	const char *best = NULL;
	unsigned int best_distance = strlen(word) / 3 + 2;

	for (size_t i = 0; i < n; i++) {
		unsigned int d = edit_distance(word, words[i]);

		if (d < best_distance) {
			best_distance = d;
			best = words[i];
		}
	}
	return best;
}

static void buf_room(struct buf *b, size_t more)
{
	size_t room = b->room ? b->room : 64;

	if (more > SIZE_MAX / 4 || b->len > SIZE_MAX / 4)
		out_of_memory();
	while (room < b->len + more + 1)
		room *= 2;
	if (room != b->room) {
		b->s = xrealloc(b->s, room, 1);
		b->room = room;
	}
}

void buf_add(struct buf *b, const void *data, size_t len)
{
	if (b->room - b->len <= len)
		buf_room(b, len);
	if (len)
		memcpy(b->s + b->len, data, len);
	b->len += len;
	b->s[b->len] = '\0';
}

void buf_puts(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
	va_list again;
	size_t room;
	int len;

	buf_room(b, 64);
	room = b->room - b->len;
	va_copy(again, ap);
	len = vsnprintf(b->s + b->len, room, fmt, again);
	va_end(again);
	if (len < 0)
		out_of_memory();
	if ((size_t)len >= room) {
		buf_room(b, len);
		vsnprintf(b->s + b->len, len + 1, fmt, ap);
	}
	b->len += len;
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(b, fmt, ap);
	va_end(ap);
}

void buf_free(struct buf *b)
{
	free(b->s);
	b->s = NULL;
	b->len = b->room = 0;
}

const char *buf_str(const struct buf *b)
{
	return b->s ? b->s : "";
}

int buf_read_fd(struct buf *b, int fd, size_t max)
{
	for (;;) {
		ssize_t n;

		buf_room(b, 16384);
		n = read(fd, b->s + b->len, 16384);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		b->len += n;
		b->s[b->len] = '\0';
		if (n == 0)
			return 0;
		if (b->len > max)
			return -EFBIG;
	}
}

int buf_read_file(struct buf *b, const char *path, size_t max)
{
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return buf_read_fd(b, fd, max);
}

/* ---- string map: open addressing, FNV-1a ------------------------------- */

static size_t strmap_slot(const struct strmap *m, const char *key)
{
	uint64_t h = 0xcbf29ce484222325ull;
	size_t i;

	for (const char *p = key; *p; p++)
		h = (h ^ (uint8_t)*p) * 0x100000001b3ull;
	for (i = h & (m->room - 1); m->v[i].key; i = (i + 1) & (m->room - 1))
		if (streq(m->v[i].key, key))
			break;
	return i;
}

void *strmap_get(const struct strmap *m, const char *key)
{
	return m->room ? m->v[strmap_slot(m, key)].value : NULL;
}

static void strmap_grow(struct strmap *m)
{
	struct strmap bigger = { .room = m->room ? m->room * 2 : 64 };

	bigger.v = xcalloc(bigger.room, sizeof(*bigger.v));
	for (size_t i = 0; i < m->room; i++)
		if (m->v[i].key)
			bigger.v[strmap_slot(&bigger, m->v[i].key)] = m->v[i];
	free(m->v);
	m->v = bigger.v;
	m->room = bigger.room;
}

void *strmap_put(struct strmap *m, const char *key, void *value)
{
	size_t i;
	void *old;

	if (m->n * 2 >= m->room)
		strmap_grow(m);
	i = strmap_slot(m, key);
	old = m->v[i].value;
	if (!m->v[i].key) {
		m->v[i].key = xstrdup(key);
		m->n++;
	}
	if (!old)
		m->v[i].value = value;
	return old;
}

void strmap_free(struct strmap *m)
{
	for (size_t i = 0; i < m->room; i++)
		free(m->v[i].key);
	free(m->v);
	*m = (struct strmap){ 0 };
}

static int write_all(int fd, const char *text)
{
	for (size_t left = strlen(text); left;) {
		ssize_t n = write(fd, text, left);

		if (n < 0)
			return -errno;
		text += n;
		left -= n;
	}
	return 0;
}

int file_replace(const char *path, const char *text)
{
	_cleanup_free_ char *tmp = xasprintf("%s.new", path);
	_cleanup_fd_ int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC |
				   O_CLOEXEC | O_NOFOLLOW, 0600);
	int rc;

	if (fd < 0)
		return -errno;
	rc = write_all(fd, text);
	if (rc == 0 && rename(tmp, path) < 0)
		rc = -errno;
	if (rc < 0)
		unlink(tmp);
	return rc;
}

long long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}
