"""What nftables' counts say of a network that was hurt."""

import pytest
from fieldline_faults.network import counted

LISTED = """table inet fieldline_faults {{
	chain input {{
		type filter hook input priority raw;
		ip saddr 1.2.3.4 counter packets {came} bytes 50 {limit}counter packets {lost} bytes 52 drop
	}}

	chain output {{
		type filter hook output priority raw;
		ip daddr 1.2.3.4 counter packets 30 bytes 50 {limit}counter packets 2 bytes 52 drop
	}}
}}"""


@pytest.mark.parametrize("limit", ["", "limit rate over 125 kbytes/second burst 16 kbytes "])
def test_packets_that_came_by_and_those_that_were_dropped(limit: str) -> None:
    assert counted(LISTED.format(came=70, lost=5, limit=limit)) == (100, 7)


def test_nothing_came_by() -> None:
    assert counted("table inet fieldline_faults {\n}") == (0, 0)
