"""The variables of `http {}`, by name; what stream has too means the same here."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from tidegate.variables import names
from tidegate.variables.names import Vocabulary

# Those of stream that http does not have: a request is what http tells of.
_STREAM_ONLY: Final = frozenset(
    {
        "bytes_received",
        "protocol",
        "session_time",
        "upstream_first_byte_time",
        "upstream_session_time",
    }
)

REQUEST: Final = MappingProxyType(
    {
        "args": "what stands behind the ? of the request",
        "query_string": "the same as $args",
        "is_args": "? where there are arguments, else nothing",
        "uri": "the path of the request, decoded and in its shortest form; of a redirect inside",
        "document_uri": "the same as $uri",
        "request": "the first line of the request",
        "request_uri": "the path and arguments as the client wrote them",
        "request_method": "the method: GET, HEAD, POST",
        "request_length": "bytes of the request, head and body",
        "request_time": "seconds with milliseconds since the first bytes of the request",
        "request_id": "32 hexadecimal digits that no other request has",
        "request_completion": "OK where the answer was sent in full",
        "request_filename": "the file that the request names, by root or alias",
        "document_root": "the root or alias of the location",
        "realpath_root": "the same with its symbolic links followed",
        "content_length": "the Content-Length of the request",
        "content_type": "the Content-Type of the request",
        "host": "the host of the request: of its first line, of Host, or the server's name",
        "scheme": "http or https",
        "https": "on with TLS, else nothing",
        "server_name": "the name of the server that answers",
        "server_protocol": "the version of HTTP: HTTP/1.0, HTTP/1.1",
        "remote_user": "the name in a Basic Authorization",
        "body_bytes_sent": "bytes sent to the client, without the head",
        "bytes_sent": "bytes sent to the client",
        "connection_requests": "how many requests the connection has had",
        "connection_time": "the age of the connection in seconds with milliseconds",
        "pipe": "p where the request was sent before the answer to the last one, else .",
        "status": "the status of the answer",
    }
)

UPSTREAM: Final = MappingProxyType(
    {
        "proxy_host": "the host in proxy_pass, with its port where that is not the usual one",
        "proxy_port": "the port in proxy_pass",
        "proxy_add_x_forwarded_for": "X-Forwarded-For of the client, and its address behind it",
        "upstream_status": "the status that each broker answered with",
        "upstream_header_time": "how long each broker took to send the head of its answer",
        "upstream_response_time": "how long each broker took to send its answer",
        "upstream_response_length": "bytes of the answer of each broker, without its head",
    }
)

STATUS: Final = MappingProxyType(
    {
        "connections_active": "connections that are open, as stub_status says",
        "connections_reading": "connections whose request is being read",
        "connections_writing": "connections that are being answered",
        "connections_waiting": "connections that wait for a request",
    }
)

HTTP: Final = MappingProxyType(
    {
        **{
            name: text
            for name, text in names.STREAM.items()
            if name not in _STREAM_ONLY and not name.startswith("ssl_preread_")
        },
        "ssl_client_escaped_cert": "the client's certificate in PEM, percent-encoded",
        **REQUEST,
        **UPSTREAM,
        **STATUS,
    }
)

# Variables whose names go on with that of a field or argument: small letters, "_" for "-".
PREFIXES: Final = MappingProxyType(
    {
        **names.PREFIXES,
        "http_": "a field in the head of the request",
        "sent_http_": "a field in the head of the answer",
        "upstream_http_": "a field in the head of the broker's answer",
        "arg_": "an argument of the request",
        "cookie_": "a cookie of the request",
    }
)

# What nginx knows and we do not.
LATER: Final = frozenset(
    [
        "ancient_browser",
        "date_gmt",
        "date_local",
        "gzip_ratio",
        "http2",
        "http3",
        "invalid_referer",
        "limit_rate",
        "limit_req_status",
        "memcached_key",
        "modern_browser",
        "msie",
        "request_body",
        "request_body_file",
        "secure_link",
        "secure_link_expires",
        "slice_range",
        "ssl_early_data",
        "tcpinfo_rcv_space",
        "tcpinfo_rtt",
        "tcpinfo_rttvar",
        "tcpinfo_snd_cwnd",
        "uid_got",
        "uid_reset",
        "uid_set",
        "upstream_cache_last_modified",
        "upstream_cache_status",
        "upstream_queue_time",
        "fastcgi_script_name",
        "fastcgi_path_info",
    ]
)
LATER_PREFIXES: Final = (
    "ssl_",
    "geoip_",
    "sent_trailer_",
    "upstream_trailer_",
    "upstream_cookie_",
    "jwt_",
)

OF_HTTP: Final = Vocabulary(
    names=HTTP, prefixes=PREFIXES, later=LATER, later_prefixes=LATER_PREFIXES
)
