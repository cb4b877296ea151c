"""Which addresses may be asked: a table of spellings, and of what the settings allow."""

from __future__ import annotations

import pytest

from apps.access.errors import InputError
from apps.files.address import address_read, url_shown
from apps.files.errors import FileRefused
from apps.files.guard import Guard, origins_checked, private_checked

PUBLIC = ["93.184.216.34", "8.8.8.8", "2606:2800:220:1::1", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"]
NEVER = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.0.1", "169.254.169.254", "172.16.0.1",
    "192.0.0.1", "192.0.2.1", "192.168.1.1", "198.18.0.1", "203.0.113.5", "224.0.0.1", "240.0.0.1", "255.255.255.255",
    "168.63.129.16", "100.100.100.200", "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
    "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::a00:1", "2002:7f00:1::",
    "2002:a9fe:a9fe::1", "2001:0:4136:e378:8000:63bf:80ff:fffe", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254",
    "fec0::1", "ff02::1", "2001:db8::1", "100::1", "3fff::1",
]  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_may_be_asked(address: str) -> None:
    Guard().check("files.example", [address])


@pytest.mark.parametrize("address", NEVER)
def test_others_may_not(address: str) -> None:
    with pytest.raises(FileRefused, match=r"files\.example"):
        Guard().check("files.example", [address])


def test_one_bad_address_among_good_ones_is_enough() -> None:
    with pytest.raises(FileRefused):
        Guard().check("files.example", ["8.8.8.8", "10.0.0.1"])


@pytest.mark.parametrize(
    ("entry", "host", "address", "allowed"),
    [
        ("10.1.2.3", "files.internal", "10.1.2.3", True),
        ("10.1.2.3", "files.internal", "10.1.2.4", False),
        ("10.1.2.3", "files.internal", "::ffff:10.1.2.3", True),
        ("10.2.0.0/16", "files.internal", "10.2.9.9", True),
        ("fd12::/32", "files.internal", "fd12::1", True),
        ("files.internal", "files.internal", "10.2.9.9", True),
        ("files.internal", "files.internal.", "10.2.9.9", True),
        ("files.internal", "other.internal", "10.2.9.9", False),
        ("*.internal", "files.internal", "192.168.0.1", True),
        ("*.internal", "internal", "192.168.0.1", False),
        # A name may lead to private hosts, never to what a machine's own secrets can be asked of.
        ("files.internal", "files.internal", "169.254.169.254", False),
        ("files.internal", "files.internal", "::ffff:169.254.169.254", False),
        ("169.254.169.254", "files.internal", "169.254.169.254", True),
    ],
)
def test_private_addresses_are_allowed_by_name_or_number(entry: str, host: str, address: str, allowed: bool) -> None:
    guard = Guard(private_allowed=(entry,))
    if allowed:
        guard.check(host, [address])
        return
    with pytest.raises(FileRefused):
        guard.check(host, [address])


@pytest.mark.parametrize(
    ("entry", "url", "allowed"),
    [
        ("https://a.example", "https://a.example/x", True),
        ("https://a.example", "https://A.EXAMPLE:443/x", True),
        ("https://a.example", "http://a.example/x", False),
        ("https://a.example", "https://a.example:8443/x", False),
        ("https://a.example:8443", "https://a.example:8443/x", True),
        ("https://a.example:8443", "https://a.example/x", False),
        ("a.example", "http://a.example:8080/x", True),
        ("a.example:8080", "http://a.example:8080/x", True),
        ("a.example:8080", "http://a.example/x", False),
        ("*.example.org", "https://deep.er.example.org/x", True),
        ("*.example.org", "https://example.org/x", False),
        ("*.example.org", "https://evilexample.org/x", False),
        ("a.example", "https://a.example.evil.com/x", False),
        ("a.example", "https://a.example@evil.com/x", False),
        ("[2606:2800::1]:8080", "http://[2606:2800::1]:8080/x", True),
        ("http://[2606:2800::1]", "http://[2606:2800::1]/x", True),
        ("s3://bucket", "s3://bucket/x", True),
        ("s3://bucket", "s3://bucket2/x", False),
        ("bucket", "s3://bucket/x", False),
    ],
)
def test_the_list_of_origins_holds(entry: str, url: str, allowed: bool) -> None:
    origins_checked([entry])
    guard = Guard(allowed=(entry,))
    if allowed:
        guard.admit(address_read(url))
        return
    with pytest.raises(FileRefused, match="not among the origins"):
        guard.admit(address_read(url))


@pytest.mark.parametrize(
    "url",
    [
        "", "x", "file:///etc/passwd", "gopher://a.example/x", "ftp://a.example/x", "http://", "http:///x",
        "http://a.example:99999/", "http://a.example:x/", "http://a b/", "http://a.example\\@b.example/",
        "http://a.example/\nX: y", "http://a.example\x00/", "http://[::1/", "http://exämple.org/", "http://%31/",
        "http://a.example/\ud800", "s3://", "s3://bucket", "s3:///key", "s3://b/key", "s3://a@b/key", "s3://bucket/a\x00",
        "http://a.example/" + "x" * 5000,
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(FileRefused):
        address_read(url)


def test_s3_keys_may_hold_what_addresses_may_not() -> None:
    address = address_read("s3://my.bucket/a folder/b?c#d")
    assert (address.host, address.path) == ("my.bucket", "a folder/b?c#d")


def test_what_is_shown_lets_nobody_in() -> None:
    shown = url_shown("https://me:pass@a.example/x?v=2&token=abc&X-Amz-Signature=def&sig=x")
    assert shown == "https://…@a.example/x?v=2&token=…&X-Amz-Signature=…&sig=…"


@pytest.mark.parametrize("line", ["ftp://a", "a b", "https://a/path", "", "*", "s3://", "https://*", "a.*.example"])
def test_settings_that_mean_nothing_are_refused(line: str) -> None:
    with pytest.raises(InputError):
        origins_checked([line])


@pytest.mark.parametrize("line", ["10.0.0.0/33", "10.1.2", "300.1.1.1", "a/b", "", "http://a"])
def test_private_entries_that_mean_nothing_are_refused(line: str) -> None:
    private_checked(["10.1.2.3", "10.0.0.0/8", "::1", "files.internal", "*.internal"])
    with pytest.raises(InputError):
        private_checked([line])
