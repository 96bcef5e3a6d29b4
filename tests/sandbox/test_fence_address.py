"""A host is read in one way only, and an address tells where it leads whatever it is wrapped in."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mohist.sandbox.errors import FencedError
from mohist.sandbox.fence.address import kind_of, parse_host, parse_port, split_authority


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("Example.ORG", "example.org"),
        ("example.org.", "example.org"),
        ("_dns.example.org", "_dns.example.org"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("192.0.2.7", "192.0.2.7"),
        ("[2001:DB8::0:7]", "2001:db8::7"),
        ("::ffff:10.0.0.1", "::ffff:10.0.0.1"),
        ("localhost", "localhost"),
    ],
)
def test_a_host_has_one_notation(text: str, host: str) -> None:
    read = parse_host(text)
    assert read == host or ip_address(read) == ip_address(host)


@pytest.mark.parametrize(
    "text",
    [
        "", ".", "..", "a..b", "example.org..", "-a.example", "a-.example", "a b", "a\0.example", "a\n.example",
        "user@example.org", "example.org:443", "example.org/", "example.org#x", "example.org?x", "example.org\\x",
        "2130706433", "0x7f000001", "017700000001", "127.1", "127.0.1", "0x7f.0.0.1", "127.0.0.0x1", "0177.0.0.1",
        "127.0.0.01", "127.0.0.1.", "256.0.0.1", "1.2.3.4.5", "example.0x", "example.1",
        "[127.0.0.1]", "[example.org]", "[::1", "::1]", "fe80::1%eth0", "[fe80::1%25lo]", ":::", "１２７.0.0.1", "\u212aey.example",
        "ⓔxample.org", "exa\u00admple.org", "example。org", "%00.example", "a" * 64 + ".org", "a." * 130 + "org",
    ],
)  # fmt: skip
def test_what_two_readers_could_read_differently_is_no_host(text: str) -> None:
    with pytest.raises(FencedError) as caught:
        parse_host(text)
    assert caught.value.code == "bad-name"


@given(st.text(max_size=80))
def test_reading_a_host_again_changes_nothing(text: str) -> None:
    try:
        once = parse_host(text)
    except FencedError:
        return
    assert parse_host(once) == once


@pytest.mark.parametrize("text", ["", "0", "65536", "443 ", "+443", "0x1bb", "65979", "-1", "٤٤٣", "443\0"])
def test_what_is_no_port_is_refused(text: str) -> None:
    with pytest.raises(FencedError):
        parse_port(text)


@pytest.mark.parametrize(
    "text", ["example.org", "example.org:443:443", "a:b@example.org:443", "[::1]443", "[::1]:", "::1:443", "a]:1"]
)
def test_an_authority_names_one_host_and_one_port(text: str) -> None:
    with pytest.raises(FencedError):
        split_authority(text)


def test_an_authority_may_leave_the_usual_port_out() -> None:
    assert split_authority("[2001:db8::1]", 80) == ("2001:db8::1", 80)
    assert split_authority("Example.org:8080", 80) == ("example.org", 8080)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("8.8.8.8", "public"),
        ("2606:4700::1111", "public"),
        ("::ffff:8.8.8.8", "public"),
        ("64:ff9b::808:808", "public"),
        *((text, "private") for text in (
            "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.1.1", "100.64.0.1", "0.0.0.0", "0.1.2.3",
            "198.18.0.1", "192.0.2.1", "203.0.113.9", "224.0.0.1", "255.255.255.255", "240.0.0.1", "192.0.0.8",
            "::", "::1", "fe80::1", "fc00::1", "fd12::1", "ff02::1", "2001:db8::1", "fec0::1", "100::1",
            "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1",
            "64:ff9b:1::808:808", "2002:7f00:1::", "2002:0a00:0001::1", "2001:0:808:808::1",
        )),
        *((text, "metadata") for text in (
            "169.254.169.254", "fd00:ec2::254", "100.100.100.200", "168.63.129.16", "169.254.170.2",
            "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::", "::ffff:168.63.129.16",
        )),
    ],
)  # fmt: skip
def test_an_address_tells_where_it_leads(text: str, kind: str) -> None:
    assert kind_of(ip_address(text)) == kind
