"""Directives of `http {}` that nginx knows: accepted without effect, or refused by name."""

from __future__ import annotations

from tidegate.config import grammar_http_gateways
from tidegate.config.row import FREE, Row, Status, group

HTTP = ("http",)
LOCATION = ("http.location",)
UPSTREAM = ("http.upstream",)
SERVERS = ("http", "http.server")
INSIDE = ("http.server", "http.location")
ALL = ("http", "http.server", "http.location")

HASHES = "there are no hash tables to size"
SERVING = "it has no effect here"
ON = "it is always on"
TOWARDS = "requests and answers are passed on as they come"
ONE_EACH = "each request has a connection of its own to a broker"
CACHE = "nothing is cached"
GZIP = "nothing is compressed or uncompressed"
HTTP2 = "clients are spoken to in HTTP/1.1"
RESOLVER = (
    'only servers with "resolve" are resolved, not what variables in "proxy_pass" say: '
    'write it in "http" or "upstream"'
)
UNUSED = "what it belongs to is not supported"
IF = 'write a "location" for each case, or a "map"'
AUTH = "nobody would be kept out; use allow and deny, or ssl_verify_client"
WHOLE = "the nearest block that has some counts"
SOCKETS = "the kernel sizes these buffers"
CHECKS = "active checks come later"
KEYS = 'use a "map"'
LIMITS = "nobody would be held back; use limit_conn"
FILTERS = "answers are passed on unchanged"
CONTENT = "tidegate passes requests by proxy_pass, and serves plain files"
ERRORS = "what goes wrong in an error page is answered as it is"
PROXY = "requests and answers are passed on as they are"
TLS = 'write "listen ... ssl"'
EARLY = "requests could be sent again by others"
METHODS = "other methods are: hash, ip_hash, least_conn, least_time, random"
STATE = "upstreams come from the configuration alone"
QUEUE = "a client that no broker can take is told so"

IGNORED: tuple[tuple[str, tuple[str, ...], str, str], ...] = (
    (
        HASHES,
        HTTP,
        "1",
        (
            "map_hash_bucket_size map_hash_max_size server_names_hash_bucket_size "
            "server_names_hash_max_size variables_hash_bucket_size variables_hash_max_size"
        ),
    ),
    (
        HASHES,
        ALL,
        "1",
        (
            "proxy_headers_hash_bucket_size proxy_headers_hash_max_size "
            "types_hash_bucket_size types_hash_max_size"
        ),
    ),
    (HASHES, INSIDE, "1", "referer_hash_bucket_size referer_hash_max_size"),
    (SERVING, ALL, "1", "keepalive_min_timeout status_zone"),
    (TOWARDS, ALL, "1+", "early_hints"),
    (TOWARDS, ALL, "flag", "proxy_pass_trailers"),
    (SERVING, SERVERS, "1", "connection_pool_size max_headers request_pool_size ssl_buffer_size"),
    (
        SERVING,
        ALL,
        "1",
        (
            "aio autoindex_format directio directio_alignment if_modified_since "
            "keepalive_time lingering_close lingering_time lingering_timeout max_ranges "
            "postpone_output read_ahead send_lowat sendfile_max_chunk "
            "subrequest_output_buffer_size charset"
        ),
    ),
    (SERVING, ALL, "1+", "charset_types"),
    (SERVING, ALL, "1,2", "keepalive_disable expires"),
    (SERVING, ALL, "2", "output_buffers"),
    (
        SERVING,
        ALL,
        "flag",
        (
            "aio_write autoindex_exact_size autoindex_localtime log_not_found log_subrequest "
            "msie_padding msie_refresh reset_timedout_connection tcp_nopush override_charset "
            "sendfile uninitialized_variable_warn"
        ),
    ),
    (ON, ALL, "flag", "chunked_transfer_encoding etag"),
    (
        TOWARDS,
        ALL,
        "1",
        (
            "client_body_buffer_size client_body_in_file_only proxy_busy_buffers_size "
            "proxy_max_temp_file_size proxy_send_lowat proxy_temp_file_write_size"
        ),
    ),
    (TOWARDS, ALL, "1+", "proxy_ignore_headers"),
    (TOWARDS, ALL, "1,2,3,4", "client_body_temp_path proxy_temp_path"),
    (TOWARDS, ALL, "2", "proxy_buffers"),
    (
        TOWARDS,
        ALL,
        "flag",
        (
            "client_body_in_single_buffer proxy_buffering proxy_force_ranges "
            "proxy_ignore_client_abort proxy_request_buffering"
        ),
    ),
    (ONE_EACH, UPSTREAM, "1", "keepalive_requests keepalive_time keepalive_timeout"),
    (ONE_EACH, UPSTREAM, "1,2", "keepalive"),
    (CACHE, HTTP, "2+", "proxy_cache_path"),
    (
        CACHE,
        ALL,
        "1",
        (
            "open_file_cache_min_uses open_file_cache_valid proxy_cache proxy_cache_key "
            "proxy_cache_lock_age proxy_cache_lock_timeout proxy_cache_max_range_offset "
            "proxy_cache_min_uses"
        ),
    ),
    (
        CACHE,
        ALL,
        "1+",
        (
            "proxy_cache_bypass proxy_cache_methods proxy_cache_use_stale proxy_cache_valid "
            "proxy_no_cache"
        ),
    ),
    (CACHE, ALL, "1,2", "open_file_cache"),
    (
        CACHE,
        ALL,
        "flag",
        (
            "open_file_cache_errors open_file_cache_events proxy_cache_background_update "
            "proxy_cache_convert_head proxy_cache_lock proxy_cache_revalidate"
        ),
    ),
    (
        GZIP,
        ALL,
        "1",
        (
            "gzip_comp_level gzip_hash gzip_http_version gzip_min_length gzip_static "
            "gzip_window postpone_gzipping"
        ),
    ),
    (GZIP, ALL, "1+", "gzip_disable gzip_proxied gzip_types"),
    (GZIP, ALL, "2", "gunzip_buffers gzip_buffers"),
    (GZIP, ALL, "flag", "gunzip gzip_no_buffer gzip_vary gzip"),
    (HTTP2, HTTP, "1", "http2_recv_buffer_size"),
    (
        HTTP2,
        SERVERS,
        "1",
        (
            "http2_body_preread_size http2_idle_timeout http2_max_concurrent_pushes "
            "http2_max_concurrent_streams http2_max_field_size http2_max_header_size "
            "http2_max_requests http2_pool_size http2_recv_timeout http2_streams_index_size"
        ),
    ),
    (HTTP2, SERVERS, "flag", "http2 http3 http3_hq quic_gso quic_retry"),
    (
        HTTP2,
        SERVERS,
        "1",
        (
            "http3_max_concurrent_streams http3_stream_buffer_size quic_active_connection_id_limit"
            " quic_host_key"
        ),
    ),
    (HTTP2, ALL, "1", "http2_chunk_size http2_push"),
    (HTTP2, ALL, "flag", "http2_push_preload"),
    (RESOLVER, INSIDE, "1", "resolver_timeout"),
    (RESOLVER, INSIDE, "1+", "resolver"),
    (
        UNUSED,
        ALL,
        "1",
        (
            "ancient_browser_value limit_req_log_level limit_req_status min_delete_depth "
            "modern_browser_value mp4_buffer_size mp4_max_buffer_size ssi_min_file_chunk "
            "ssi_value_length userid_domain userid_expires userid_mark userid_name userid_p3p "
            "userid_path userid_service"
        ),
    ),
    (UNUSED, ALL, "1+", "addition_types ancient_browser ssi_types sub_filter_types"),
    (UNUSED, ALL, "1,2", "modern_browser"),
    (UNUSED, ALL, "1,2,3", "dav_access proxy_store_access userid_flags"),
    (
        UNUSED,
        ALL,
        "flag",
        (
            "create_full_put_path limit_req_dry_run mirror_request_body mp4_start_key_frame "
            "ssi_ignore_recycled_buffers ssi_last_modified ssi_silent_errors "
            "sub_filter_last_modified sub_filter_once"
        ),
    ),
)

LATER: tuple[tuple[str, tuple[str, ...], str, str], ...] = (
    (IF, ALL, "flag", "rewrite_log"),
    (IF, INSIDE, "0", "break"),
    (IF, INSIDE, "2,3", "rewrite"),
    (
        AUTH,
        ALL,
        "1",
        (
            "auth_delay auth_request secure_link secure_link_md5 secure_link_secret "
            "auth_basic auth_basic_user_file"
        ),
    ),
    (AUTH, ALL, "1,2", "disable_symlinks"),
    (AUTH, ALL, "2", "auth_request_set"),
    (AUTH, INSIDE, "1+", "valid_referers"),
    (LIMITS, HTTP, "3", "limit_req_zone"),
    (LIMITS, ALL, "1", "proxy_limit_rate limit_rate limit_rate_after"),
    (LIMITS, ALL, "1,2,3", "limit_req"),
    (
        FILTERS,
        ALL,
        "1",
        "add_after_body add_before_body mirror slice userid post_action source_charset",
    ),
    (FILTERS, ALL, "2", "sub_filter"),
    (FILTERS, ALL, "2,3", "add_trailer"),
    (WHOLE, ALL, "1", "add_header_inherit add_trailer_inherit"),
    (SOCKETS, ALL, "1", "proxy_socket_rcvbuf proxy_socket_sndbuf"),
    (CHECKS, LOCATION, "0+", "health_check"),
    (KEYS, HTTP, "3+", "keyval"),
    (KEYS, HTTP, "1+", "keyval_zone"),
    (FILTERS, ALL, "flag", "ssi"),
    (CONTENT, ALL, "1+", "dav_methods"),
    (CONTENT, LOCATION, "0", "empty_gif flv mp4"),
    (CONTENT, LOCATION, "1", "fastcgi_pass grpc_pass memcached_pass scgi_pass uwsgi_pass"),
    (CONTENT, LOCATION, "flag", "random_index"),
    (ERRORS, ALL, "flag", "recursive_error_pages"),
    (PROXY, ALL, "1", "proxy_method proxy_set_body proxy_store"),
    (PROXY, ALL, "1,2", "proxy_cookie_domain proxy_cookie_path"),
    (PROXY, ALL, "1,2,3,4", "proxy_cookie_flags"),
    (TLS, SERVERS, "flag", "ssl"),
    (EARLY, SERVERS, "flag", "ssl_early_data"),
    (METHODS, UPSTREAM, "1+", "sticky"),
    (STATE, UPSTREAM, "1", "state"),
    (QUEUE, UPSTREAM, "1,2", "queue"),
)


ROWS: tuple[Row, ...] = (
    *(
        row
        for reason, contexts, args, names in (*IGNORED, *grammar_http_gateways.IGNORED)
        for row in group(
            names,
            contexts=contexts,
            args=args,
            status=Status.IGNORED,
            reason=reason,
            always="on" if reason is ON else "off",
        )
    ),
    *(
        row
        for reason, contexts, args, names in LATER
        for row in group(
            names,
            contexts=contexts,
            args=args,
            status=Status.LATER,
            reason=reason,
            always="on" if reason is WHOLE else "off",
        )
    ),
    *group(
        "satisfy",
        contexts=ALL,
        args="1",
        status=Status.IGNORED,
        reason="there is one kind of rules: allow and deny",
        always="all",
    ),
    *group(
        "charset_map",
        contexts=HTTP,
        args="2",
        opens=FREE,
        status=Status.IGNORED,
        reason=SERVING,
    ),
    *group(
        "match",
        contexts=HTTP,
        args="1",
        opens=FREE,
        status=Status.LATER,
        reason=CHECKS,
    ),
    *group("if", contexts=INSIDE, args="1+", opens=FREE, status=Status.LATER, reason=IF),
    *group(
        "limit_except",
        contexts=LOCATION,
        args="1+",
        opens=FREE,
        status=Status.LATER,
        reason="rules hold for all methods",
    ),
)
