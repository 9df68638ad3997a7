# netbr. `make`, `make check`, `make demo`, `make install`; the README says more.
PREFIX ?= /usr
SBINDIR ?= $(PREFIX)/sbin
DATADIR ?= $(PREFIX)/share
MANDIR ?= $(DATADIR)/man
DOCDIR ?= $(DATADIR)/doc/netbr
SYSCONFDIR ?= /etc
INITDIR ?= $(SYSCONFDIR)/init.d
CONFDIR ?= $(SYSCONFDIR)/conf.d
TEMPLATEDIR ?= $(DATADIR)/netbr/templates
DESTDIR ?=

CC ?= cc
PKG_CONFIG ?= pkg-config
INSTALL ?= install
CFLAGS ?= -O2 -g
VERSION = 0.1

LIBS_GEN = libconfuse libnl-genl-3.0 jansson
LIBS_APPLY = libconfuse libnl-3.0 libnl-genl-3.0 jansson

HARDEN_C ?= -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fPIE
HARDEN_L ?= -pie -Wl,-z,relro,-z,now
WARN = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	-Wpointer-arith -Wwrite-strings -Wvla -Wformat=2 -Wswitch-enum -Wundef \
	-Wno-missing-field-initializers
# own flags first: the packager's come last and win
ALL_CFLAGS = -std=gnu11 -pthread $(WARN) $(HARDEN_C) $(CFLAGS)
ALL_CPPFLAGS = -D_GNU_SOURCE -DVERSION='"$(VERSION)"' \
	-DTEMPLATEDIR='"$(TEMPLATEDIR)"' -DDATADIR='"$(DATADIR)"' $(CPPFLAGS)

O = $(if $(BUILD),$(BUILD)/)src/
COMMON = addr check cli conf confval diag model oldfiles outfile print qemu screen scrub \
	spawn tmpl util view viewfw wifi
APPLY = dhcpc dnsmasq doctor fw fwdelta fwdigest fwipt fwother kstate \
	lease nft nftelem nl nldump nlop op planback plandown planmacnat \
	planproxy planwifi planmove planport planserve planup proc progress report run \
	session state sys translate try verbs watch
GEN_O = $(COMMON:%=$(O)%.o) $(O)gen.o
APPLY_O = $(COMMON:%=$(O)%.o) $(APPLY:%=$(O)%.o) $(O)apply.o

all: $(O)netbr-gen $(O)netbr-apply

$(O)netbr-gen: $(GEN_O)
	$(CC) $(ALL_CFLAGS) $(HARDEN_L) $(LDFLAGS) -o $@ $(GEN_O) \
		$(shell $(PKG_CONFIG) --libs $(LIBS_GEN))

$(O)netbr-apply: $(APPLY_O)
	$(CC) $(ALL_CFLAGS) $(HARDEN_L) $(LDFLAGS) -o $@ $(APPLY_O) \
		$(shell $(PKG_CONFIG) --libs $(LIBS_APPLY))

$(O)%.o: src/%.c Makefile
	@mkdir -p $(@D)
	$(CC) $(ALL_CPPFLAGS) $(NL_CFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

NL_CFLAGS = $(shell $(PKG_CONFIG) --cflags $(LIBS_APPLY))

-include $(wildcard $(O)*.d)

# What tests need is installed first, where root may; then everything runs.
# T="hitless try" runs some folders; JUNIT=DIR keeps reports
check:
	@tests/check $(T)
# those that take long: boots, endurance, sweeps
check-slow:
	@tests/check --slow $(T)
# what needs neither root, a VM nor a network
check-fast:
	@tests/check --fast $(T)

demo:
	@tests/demo

# BENCH="--full --markdown FILE --svg FILE" for the long one
bench:
	@tests/bench/run $(BENCH)

golden: all
	@tests/golden.sh --update

lint:
	@tests/lint

install: all
	$(INSTALL) -d $(DESTDIR)$(SBINDIR) $(DESTDIR)$(TEMPLATEDIR) \
		$(DESTDIR)$(INITDIR) $(DESTDIR)$(CONFDIR) \
		$(DESTDIR)$(MANDIR)/man5 $(DESTDIR)$(MANDIR)/man8 \
		$(DESTDIR)$(DOCDIR)/examples
	$(INSTALL) -m 755 $(O)netbr-gen $(O)netbr-apply $(DESTDIR)$(SBINDIR)
	$(INSTALL) -m 644 templates/*.tmpl $(DESTDIR)$(TEMPLATEDIR)
	$(INSTALL) -m 755 init.d/dhcp-script $(DESTDIR)$(DATADIR)/netbr
	sed -e 's|/usr/sbin/netbr|$(SBINDIR)/netbr|' \
		-e 's|/usr/share/netbr|$(DATADIR)/netbr|' init.d/netbr \
		>$(DESTDIR)$(INITDIR)/netbr
	chmod 755 $(DESTDIR)$(INITDIR)/netbr
	test -e $(DESTDIR)$(CONFDIR)/netbr || \
		$(INSTALL) -m 644 conf.d/netbr $(DESTDIR)$(CONFDIR)/netbr
	$(INSTALL) -m 644 docs/vmnet.conf.5 $(DESTDIR)$(MANDIR)/man5
	$(INSTALL) -m 644 docs/netbr-gen.8 docs/netbr-apply.8 \
		$(DESTDIR)$(MANDIR)/man8
	$(INSTALL) -m 644 README.md docs/modes.md $(DESTDIR)$(DOCDIR)
	$(INSTALL) -m 644 docs/examples/*.conf $(DESTDIR)$(DOCDIR)/examples
	@tests/link-service '$(DESTDIR)' '$(INITDIR)'

# Everything install put there; a net.br0 that is not our link stays, and so
# does a conf.d/netbr that was edited.
uninstall:
	rm -f $(DESTDIR)$(SBINDIR)/netbr-gen $(DESTDIR)$(SBINDIR)/netbr-apply
	rm -rf $(DESTDIR)$(TEMPLATEDIR)
	rm -f $(DESTDIR)$(DATADIR)/netbr/dhcp-script
	-rmdir $(DESTDIR)$(DATADIR)/netbr
	test "$$(readlink $(DESTDIR)$(INITDIR)/net.br0)" != netbr || \
		rm -f $(DESTDIR)$(INITDIR)/net.br0
	rm -f $(DESTDIR)$(INITDIR)/netbr
	! cmp -s conf.d/netbr $(DESTDIR)$(CONFDIR)/netbr || \
		rm -f $(DESTDIR)$(CONFDIR)/netbr
	rm -f $(DESTDIR)$(MANDIR)/man5/vmnet.conf.5
	rm -f $(DESTDIR)$(MANDIR)/man8/netbr-gen.8 \
		$(DESTDIR)$(MANDIR)/man8/netbr-apply.8
	rm -rf $(DESTDIR)$(DOCDIR)

clean:
	rm -rf $(O)*.o $(O)*.d $(O)netbr-gen $(O)netbr-apply build

.PHONY: all check check-slow check-fast demo bench golden lint install uninstall clean
