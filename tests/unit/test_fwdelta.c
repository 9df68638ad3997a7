/* Two rule texts in, a few commands out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>

#include "fwdelta.h"

#define HEAD "add table t\n"
#define SET(name, elements) "add element bridge t " name " {\n" elements "}\n"

static void expect(const char *old, const char *new, const char *want)
{
	char *have = fw_delta(old, new);

	if (!want)
		assert_null(have);
	else
		assert_string_equal(have, want);
	free(have);
}

static void test_same(void **s)
{
	(void)s;
	expect(HEAD SET("m", "\"a\" . 1,\n"), HEAD SET("m", "\"a\" . 1,\n"), "");
	/* their order does not matter */
	expect(HEAD SET("m", "a,\nb,\n"), HEAD SET("m", "b,\na,\n"), "");
}

static void test_elements(void **s)
{
	(void)s;
	expect(HEAD SET("m", "a,\nb,\n") SET("n", "a,\n"),
	       HEAD SET("m", "b,\nc,\n") SET("n", "a,\n"),
	       "delete element bridge t m { a }\n"
	       "add element bridge t m { c }\n");
	/* all that goes first: a map's key may come back with another datum */
	expect(HEAD SET("m", "x,\na,\n") SET("n", "k : 1,\n"),
	       HEAD SET("m", "x,\nc,\n") SET("n", "k : 2,\n"),
	       "delete element bridge t m { a }\n"
	       "delete element bridge t n { k : 1 }\n"
	       "add element bridge t m { c }\n"
	       "add element bridge t n { k : 2 }\n");
	/* one that is listed twice stays while it is listed once */
	expect(HEAD SET("m", "a,\nb,\na,\n"), HEAD SET("m", "a,\nb,\n"), "");
	expect(HEAD SET("m", "a,\nb,\n"), HEAD SET("m", "a,\nb,\na,\n"), "");
	expect(HEAD SET("m", "a,\n") SET("m", "b,\n"), HEAD SET("m", "b,\n"),
	       "delete element bridge t m { a }\n");
	/* a set's block that was not there, or goes */
	expect(HEAD, HEAD SET("m", "a,\n"), "add element bridge t m { a }\n");
	expect(HEAD SET("m", "a,\n"), HEAD, "delete element bridge t m { a }\n");
}

static void test_more_than_elements(void **s)
{
	(void)s;
	expect(HEAD SET("m", "a,\n"), HEAD "add rule t x drop\n" SET("m",
	       "a,\n"), NULL);
	expect(HEAD, "", NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same),
		cmocka_unit_test(test_elements),
		cmocka_unit_test(test_more_than_elements),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
