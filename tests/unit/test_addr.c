/* Texts to numbers and back, and what must not pass for one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>
#include <sys/socket.h>

#include "addr.h"
#include "util.h"

static void test_mac(void **s)
{
	static const char *const bad[] = { "", "52:54:00:12:34", "x", "52:54:00:"
		"12:34:567", "52-54-00-12-34-56", "52:54:00:12:34:5g",
		" 52:54:00:12:34:56", "52:54:00:12:34:56 " };
	char text[MAC_TEXT];
	struct mac m;

	(void)s;
	assert_true(mac_parse("52:54:00:AB:cd:09", &m));
	assert_string_equal(mac_format(&m, text), "52:54:00:ab:cd:09");
	for (size_t i = 0; i < N_ELEMENTS(bad); i++)
		assert_false(mac_parse(bad[i], &m));
}

static void test_cidr(void **s)
{
	static const char *const bad[] = { "", "1.2.3.4/", "1.2.3.4/33",
		"1.2.3.4/-1", "1.2.3.4/ 8", "1.2.3/8", "::/129", "01.2.3.4/8",
		"1.2.3.4/8/8", "fe80::1%eth0/64" };
	char text[CIDR_TEXT];
	struct cidr c, n;
	struct ip a;

	(void)s;
	assert_true(cidr_parse("192.168.50.77/26", false, &c));
	n = cidr_network(&c);
	assert_string_equal(cidr_format(&n, text), "192.168.50.64/26");
	a = cidr_last(&c);
	assert_string_equal(ip_format(&a, text), "192.168.50.127");
	assert_true(ip_parse("192.168.50.100", &a) && cidr_has(&c, &a));
	assert_true(ip_parse("192.168.50.128", &a) && !cidr_has(&c, &a));
	assert_true(ip_parse("fd00::1", &a) && !cidr_has(&c, &a));
	assert_true(cidr_parse("fd00:50::/63", false, &n));
	assert_true(cidr_parse("fd00:50:0:1::9/64", false, &c));
	assert_true(cidr_overlap(&n, &c));
	assert_false(cidr_parse("192.168.1.1", false, &c));
	assert_true(cidr_parse("192.168.1.1", true, &c) && c.plen == 32);
	for (size_t i = 0; i < N_ELEMENTS(bad); i++)
		assert_false(cidr_parse(bad[i], false, &c));
}

static void test_time(void **s)
{
	static const struct {
		const char *text;
		unsigned long cs;
	} good[] = { { "2", 200 }, { "0.5", 50 }, { "0.05", 5 }, { "15s", 1500 },
		     { "200ms", 20 }, { "2m", 12000 }, { "0", 0 } };
	static const char *const bad[] = { "", "s", "1.234", "5ms", "1h", "-1",
					   "1.5ms", "1e3", " 1" };
	char text[24];
	unsigned long cs;

	(void)s;
	for (size_t i = 0; i < N_ELEMENTS(good); i++) {
		assert_true(time_cs_parse(good[i].text, &cs));
		assert_int_equal(cs, good[i].cs);
	}
	for (size_t i = 0; i < N_ELEMENTS(bad); i++)
		assert_false(time_cs_parse(bad[i], &cs));
	assert_string_equal(time_cs_format(1505, text, sizeof(text)), "15.05");
	assert_string_equal(time_cs_format(50, text, sizeof(text)), "0.5");
}

static void test_names(void **s)
{
	static const char *const bad[] = { "", ".", "..", "-a", "_a", "a/b",
		"a b", "abcdefghijklmnop", "all", "default", "a$", "a\n" };
	static const char *const keywords[] = { "ignore", "infinite", "10",
						"12h", "5m" };

	(void)s;
	assert_true(ifname_ok("tap-a.b_c"));
	assert_true(ifname_ok("abcdefghijklmno"));
	for (size_t i = 0; i < N_ELEMENTS(bad); i++)
		assert_false(ifname_ok(bad[i]));
	for (size_t i = 0; i < N_ELEMENTS(keywords); i++)
		assert_true(dnsmasq_word(keywords[i]));
	assert_false(dnsmasq_word("win7") || dnsmasq_word("10x"));
}

static void test_other(void **s)
{
	static const char *const words[] = { "uplink", "ports", "address" };
	unsigned int plen;
	uint64_t bits;
	uint32_t lease;

	(void)s;
	assert_true(netmask_parse("255.255.252.0", &plen) && plen == 22);
	assert_false(netmask_parse("255.0.255.0", &plen));
	assert_true(rate_parse("100mbit", &bits) && bits == 100000000);
	assert_false(rate_parse("100", &bits) || rate_parse("mbit", &bits) ||
		     rate_parse("0mbit", &bits));
	assert_true(lease_parse("12h", &lease) && lease == 43200);
	assert_false(lease_parse("1s", &lease) || lease_parse("h", &lease));
	assert_string_equal(str_nearest("uplnik", words, 3), "uplink");
	assert_null(str_nearest("zzzzzz", words, 3));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mac), cmocka_unit_test(test_cidr),
		cmocka_unit_test(test_time), cmocka_unit_test(test_names),
		cmocka_unit_test(test_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
