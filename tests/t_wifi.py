"""Real radios (mac80211_hwsim), hostapd, wpa_supplicant, in a machine with
Debian's kernel: see vm.py and vmjobs.py."""
import vm
from lib import plain


def job(name, more=""):
    def test():
        vm.play(name + more)
    test.timeout = 300
    globals()["test_" + name] = plain(test)


job("macnat_open", ",two_bridges")
for n in ("macnat_wpa2", "wds", "others"):
    job(n)
