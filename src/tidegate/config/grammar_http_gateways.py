"""Directives of `http {}` for servers of FastCGI, gRPC and others: accepted without effect."""

from __future__ import annotations

HTTP = ("http",)
LOCATION = ("http.location",)
ALL = ("http", "http.server", "http.location")

GATEWAY = "there is no way to such servers here"

IGNORED: tuple[tuple[str, tuple[str, ...], str, str], ...] = (
    (GATEWAY, HTTP, "2+", "fastcgi_cache_path scgi_cache_path uwsgi_cache_path"),
    (
        GATEWAY,
        ALL,
        "1",
        (
            "fastcgi_buffer_size fastcgi_busy_buffers_size fastcgi_cache fastcgi_cache_key "
            "fastcgi_cache_lock_age fastcgi_cache_lock_timeout fastcgi_cache_max_range_offset "
            "fastcgi_cache_min_uses fastcgi_catch_stderr fastcgi_connect_timeout "
            "fastcgi_hide_header fastcgi_index fastcgi_limit_rate fastcgi_max_temp_file_size "
            "fastcgi_next_upstream_timeout fastcgi_next_upstream_tries fastcgi_pass_header "
            "fastcgi_read_timeout fastcgi_send_lowat fastcgi_send_timeout "
            "fastcgi_split_path_info fastcgi_store fastcgi_temp_file_write_size "
            "grpc_buffer_size grpc_connect_timeout grpc_hide_header "
            "grpc_next_upstream_timeout grpc_next_upstream_tries grpc_pass_header "
            "grpc_read_timeout grpc_send_timeout grpc_ssl_certificate "
            "grpc_ssl_certificate_key grpc_ssl_ciphers grpc_ssl_crl grpc_ssl_name "
            "grpc_ssl_password_file grpc_ssl_trusted_certificate grpc_ssl_verify_depth "
            "memcached_buffer_size memcached_connect_timeout memcached_gzip_flag "
            "memcached_next_upstream_timeout memcached_next_upstream_tries "
            "memcached_read_timeout memcached_send_timeout scgi_buffer_size "
            "scgi_busy_buffers_size scgi_cache scgi_cache_key scgi_cache_lock_age "
            "scgi_cache_lock_timeout scgi_cache_max_range_offset scgi_cache_min_uses "
            "scgi_connect_timeout scgi_hide_header scgi_limit_rate scgi_max_temp_file_size "
            "scgi_next_upstream_timeout scgi_next_upstream_tries scgi_pass_header "
            "scgi_read_timeout scgi_send_timeout scgi_store scgi_temp_file_write_size "
            "uwsgi_buffer_size uwsgi_busy_buffers_size uwsgi_cache "
            "uwsgi_cache_background_update uwsgi_cache_key uwsgi_cache_lock_age "
            "uwsgi_cache_lock_timeout uwsgi_cache_max_range_offset uwsgi_cache_min_uses "
            "uwsgi_connect_timeout uwsgi_hide_header uwsgi_limit_rate "
            "uwsgi_max_temp_file_size uwsgi_modifier1 uwsgi_modifier2 "
            "uwsgi_next_upstream_timeout uwsgi_next_upstream_tries uwsgi_pass_header "
            "uwsgi_read_timeout uwsgi_send_timeout uwsgi_ssl_certificate "
            "uwsgi_ssl_certificate_key uwsgi_ssl_ciphers uwsgi_ssl_crl uwsgi_ssl_name "
            "uwsgi_ssl_password_file uwsgi_ssl_trusted_certificate uwsgi_ssl_verify_depth "
            "uwsgi_store uwsgi_string uwsgi_temp_file_write_size"
        ),
    ),
    (
        GATEWAY,
        ALL,
        "1+",
        (
            "fastcgi_cache_bypass fastcgi_cache_methods fastcgi_cache_use_stale "
            "fastcgi_cache_valid fastcgi_ignore_headers fastcgi_next_upstream "
            "fastcgi_no_cache grpc_ignore_headers grpc_next_upstream grpc_ssl_protocols "
            "memcached_next_upstream scgi_cache_bypass scgi_cache_methods "
            "scgi_cache_use_stale scgi_cache_valid scgi_ignore_headers scgi_next_upstream "
            "scgi_no_cache uwsgi_cache_bypass uwsgi_cache_methods uwsgi_cache_use_stale "
            "uwsgi_cache_valid uwsgi_ignore_headers uwsgi_next_upstream uwsgi_no_cache "
            "uwsgi_ssl_protocols"
        ),
    ),
    (GATEWAY, ALL, "1,2", "fastcgi_bind grpc_bind memcached_bind scgi_bind uwsgi_bind"),
    (GATEWAY, ALL, "1,2,3", "fastcgi_store_access scgi_store_access uwsgi_store_access"),
    (GATEWAY, ALL, "1,2,3,4", "fastcgi_temp_path scgi_temp_path uwsgi_temp_path"),
    (
        GATEWAY,
        ALL,
        "2",
        (
            "fastcgi_buffers grpc_set_header grpc_ssl_conf_command scgi_buffers uwsgi_buffers "
            "uwsgi_ssl_conf_command"
        ),
    ),
    (GATEWAY, ALL, "2,3", "fastcgi_param scgi_param uwsgi_param"),
    (
        GATEWAY,
        ALL,
        "flag",
        (
            "fastcgi_buffering fastcgi_cache_background_update fastcgi_cache_lock "
            "fastcgi_cache_revalidate fastcgi_force_ranges fastcgi_ignore_client_abort "
            "fastcgi_intercept_errors fastcgi_keep_conn fastcgi_pass_request_body "
            "fastcgi_pass_request_headers fastcgi_request_buffering fastcgi_socket_keepalive "
            "grpc_intercept_errors grpc_socket_keepalive grpc_ssl_server_name "
            "grpc_ssl_session_reuse grpc_ssl_verify memcached_socket_keepalive scgi_buffering "
            "scgi_cache_background_update scgi_cache_lock scgi_cache_revalidate "
            "scgi_force_ranges scgi_ignore_client_abort scgi_intercept_errors "
            "scgi_pass_request_body scgi_pass_request_headers scgi_request_buffering "
            "scgi_socket_keepalive uwsgi_buffering uwsgi_cache_lock uwsgi_cache_revalidate "
            "uwsgi_force_ranges uwsgi_ignore_client_abort uwsgi_intercept_errors "
            "uwsgi_pass_request_body uwsgi_pass_request_headers uwsgi_request_buffering "
            "uwsgi_socket_keepalive uwsgi_ssl_server_name uwsgi_ssl_session_reuse "
            "uwsgi_ssl_verify"
        ),
    ),
)
