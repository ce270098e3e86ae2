"""The variables of `stream {}`, by name.

`$mqtt_user_property_NAME` is the value of a user property of the CONNECT. A variable has no "-" and
knows no capital letters, so NAME is the property's name in small letters with "_" for "-": the
property `Device-Type` is `$mqtt_user_property_device_type`. Of several that fit the first counts.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from tidegate.dataclasses import dataclass
from tidegate.wire import tlvs

if TYPE_CHECKING:
    from collections.abc import Mapping

# What a CONNECT tells. nginx knows the first two; for a client of another protocol all are empty.
CONNECT: Final = MappingProxyType(
    {
        "mqtt_preread_clientid": "the client identifier as the client sent it",
        "mqtt_preread_username": "the user name as the client sent it",
        "mqtt_set_clientid": "the client identifier that mqtt_set_connect put in its place",
        "mqtt_protocol_version": "the version of MQTT that the client speaks: 3.1, 3.1.1 or 5",
        "mqtt_keepalive": "the client's keep alive in seconds, 0 for none",
        "mqtt_clean_start": "1 where the client asks for a new session, else 0",
        "mqtt_session_expiry": "the client's session expiry interval in seconds",
        "mqtt_will_topic": "the topic of the client's will",
    }
)

# What a node's CONNACK tells: known when a node was chosen and has answered.
CONNACK: Final = MappingProxyType(
    {
        "mqtt_connack_code": "the code that the node answered the CONNECT with, in decimal",
        "mqtt_session_present": "1 where the node had a session of the client, else 0",
        "mqtt_assigned_clientid": "the client identifier that the node gave to the client",
    }
)

# What TLS with the client tells; empty without it. The last four are not nginx's.
TLS: Final = MappingProxyType(
    {
        "ssl_protocol": "the version of TLS, as TLSv1.3",
        "ssl_cipher": "the cipher in use",
        "ssl_ciphers": "the ciphers that the client knows",
        "ssl_curve": "the curve of the key exchange",
        "ssl_curves": "the curves that the client knows",
        "ssl_server_name": "the name of the server that the client asked for (SNI)",
        "ssl_alpn_protocol": "the protocol chosen by ALPN",
        "ssl_session_id": "the identifier of the session in hexadecimal",
        "ssl_session_reused": "r where an earlier session was taken up, else .",
        "ssl_client_cert": "the client's certificate in PEM, lines after the first with a tab",
        "ssl_client_raw_cert": "the client's certificate in PEM",
        "ssl_client_fingerprint": "the SHA1 fingerprint of the client's certificate",
        "ssl_client_serial": "the serial number of the client's certificate in hexadecimal",
        "ssl_client_s_dn": "the subject of the client's certificate as RFC 2253 writes it",
        "ssl_client_i_dn": "the issuer of the client's certificate as RFC 2253 writes it",
        "ssl_client_verify": "SUCCESS, FAILED:reason, or NONE without a certificate",
        "ssl_client_v_start": "from when on the client's certificate holds",
        "ssl_client_v_end": "until when the client's certificate holds",
        "ssl_client_v_remain": "for how many days the client's certificate still holds",
        "ssl_client_s_dn_cn": "the common name of the client's certificate",
        "ssl_client_san_dns": "the host names of the client's certificate, with commas between",
        "ssl_client_san_uri": "the URIs of the client's certificate, with commas between",
        "ssl_client_san_email": "the mail addresses of the client's certificate, with commas",
    }
)

# What TLS that passes unopened tells: its first bytes are looked into with ssl_preread.
PREREAD_TLS: Final = MappingProxyType(
    {
        "ssl_preread_protocol": "the newest version of TLS that the client offers",
        "ssl_preread_server_name": "the name of the server that the client asks for (SNI)",
        "ssl_preread_alpn_protocols": "the protocols that the client offers, with commas between",
    }
)

# What a client's PROXY protocol header tells; nothing where none is read.
OF_HEADER: Final = "proxy_protocol_"
OF_TLV: Final = f"{OF_HEADER}tlv_"

# What a header of version 2 may add. Others are asked for by type: $proxy_protocol_tlv_0xe0.
TLV: Final = MappingProxyType(
    {
        f"{OF_TLV}alpn": "the protocol that the client negotiated with the proxy in front",
        f"{OF_TLV}authority": "the host name that the client asked for (SNI)",
        f"{OF_TLV}unique_id": "the ID that the proxy in front gave to the connection",
        f"{OF_TLV}netns": "the network namespace that the client came in by",
        f"{OF_TLV}ssl": "all that is told of the client's TLS, as its bytes",
        f"{OF_TLV}ssl_version": "the version of the client's TLS",
        f"{OF_TLV}ssl_cn": "the common name of the client's certificate",
        f"{OF_TLV}ssl_cipher": "the cipher of the client's TLS",
        f"{OF_TLV}ssl_sig_alg": "the algorithm that the client's certificate was signed with",
        f"{OF_TLV}ssl_key_alg": "the algorithm of the key of the client's certificate",
        f"{OF_TLV}ssl_verify": "0 where the client's certificate was verified",
        f"{OF_TLV}aws_vpce_id": "the ID of the AWS VPC endpoint",
        f"{OF_TLV}azure_pel_id": "the ID of the Azure private endpoint",
    }
)

# What a configuration may use, and what it stands for. nginx's names and meanings.
STREAM: Final = MappingProxyType(
    {
        **CONNECT,
        **CONNACK,
        **TLS,
        **PREREAD_TLS,
        **TLV,
        "binary_remote_addr": "the client's address as 4 or 16 bytes",
        "bytes_received": "bytes received from the client",
        "bytes_sent": "bytes sent to the client",
        "connection": "the number of the connection",
        "hostname": "the name of this host",
        "limit_conn_status": "PASSED, REJECTED or REJECTED_DRY_RUN, where limit_conn counted",
        "msec": "the time in seconds with milliseconds",
        "nginx_version": "the version of nginx whose behaviour is followed",
        "pid": "the process ID of the worker",
        "protocol": "TCP",
        "proxy_protocol_addr": "the client's address from the PROXY protocol header",
        "proxy_protocol_port": "the client's port from the PROXY protocol header",
        "proxy_protocol_server_addr": "the server's address from the PROXY protocol header",
        "proxy_protocol_server_port": "the server's port from the PROXY protocol header",
        "realip_remote_addr": "the address that the connection came from, whatever a header said",
        "realip_remote_port": "the port that the connection came from, whatever a header said",
        "remote_addr": "the client's address",
        "remote_port": "the client's port",
        "server_addr": "the address that accepted the connection",
        "server_port": "the port that accepted the connection",
        "session_time": "how long the session took, in seconds with milliseconds",
        "status": "how the session ended: 200, 400, 403, 500, 502, 503",
        "time_iso8601": "the local time as 2026-11-22T05:18:04+00:00",
        "time_iso8601_ms": "the same with milliseconds, as 2026-11-22T05:18:04.123+00:00",
        "time_local": "the local time as 22/Nov/2026:05:18:04 +0000",
        "upstream_addr": "the brokers tried, by address",
        "upstream_bytes_received": "bytes received from each broker",
        "upstream_bytes_sent": "bytes sent to each broker",
        "upstream_connect_time": "how long each connect took, in seconds with milliseconds",
        "upstream_first_byte_time": "how long each broker took to send its first byte",
        "upstream_last_addr": "the address of the broker tried last (NGINX Plus)",
        "upstream_session_time": "how long the session with each broker took",
    }
)

# Variables whose names go on with one that the configuration chooses.
PREFIXES: Final = MappingProxyType(
    {"mqtt_user_property_": "the value of a user property of the CONNECT"}
)

# What nginx knows and we do not yet.
LATER: Final[frozenset[str]] = frozenset()
LATER_PREFIXES: Final = ("ssl_", "geoip_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """The variables of `stream {}` or of `http {}`: what each stands for, by name or by prefix.

    `later` and `later_prefixes` are what nginx has and tidegate has not yet.
    """

    names: Mapping[str, str]
    prefixes: Mapping[str, str]
    later: frozenset[str]
    later_prefixes: tuple[str, ...]

    def known(self, name: str) -> bool:
        """Whether a configuration may use a variable of this name."""
        if name in self.names or tlv_type(name) is not None:
            return True
        return any(name != one and name.startswith(one) for one in self.prefixes)

    def comes_later(self, name: str) -> bool:
        """Whether nginx has a variable of this name that tidegate has not yet."""
        return name in self.later or (name.startswith(self.later_prefixes) and not self.known(name))


OF_STREAM: Final = Vocabulary(
    names=STREAM, prefixes=PREFIXES, later=LATER, later_prefixes=LATER_PREFIXES
)


def comes_later(name: str) -> bool:
    """Whether nginx has a variable of stream of this name that tidegate has not yet."""
    return OF_STREAM.comes_later(name)


def known(name: str) -> bool:
    """Whether a configuration may use a variable of this name in stream."""
    return OF_STREAM.known(name)


def tlv_type(name: str) -> int | None:
    """The type of the TLV that a variable tells of; None for variables of something else."""
    return tlvs.type_of(name.removeprefix(OF_TLV)) if name.startswith(OF_TLV) else None


def of_mqtt(name: str) -> bool:
    """Whether a variable tells of MQTT, so that a server must look at it."""
    return name in CONNECT or name in CONNACK or name.startswith(tuple(PREFIXES))
