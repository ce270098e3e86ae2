"""No directive of nginx (1.31) is unknown: each is done, ignored with a warning that says why, or
refused with one. Those of `http` for FastCGI and its like are left out here."""

from __future__ import annotations

import pytest

from tidegate.config.grammar import find
from tidegate.config.row import Status

NGINX = {
    "stream.server": """
        access_log allow deny error_log health_check health_check_timeout limit_conn
        limit_conn_dry_run limit_conn_log_level listen mqtt mqtt_buffers mqtt_preread
        mqtt_rewrite_buffer_size mqtt_set_connect open_log_file_cache pass
        preread_buffer_size preread_timeout proxy_bind proxy_bind_dynamic
        proxy_buffer_size proxy_connect_timeout proxy_download_rate proxy_half_close
        proxy_next_upstream proxy_next_upstream_timeout proxy_next_upstream_tries
        proxy_pass proxy_protocol proxy_protocol_timeout proxy_requests proxy_responses
        proxy_session_drop proxy_socket_keepalive proxy_socket_rcvbuf
        proxy_socket_sndbuf proxy_ssl proxy_ssl_alpn proxy_ssl_certificate
        proxy_ssl_certificate_cache proxy_ssl_certificate_key proxy_ssl_ciphers
        proxy_ssl_conf_command proxy_ssl_crl proxy_ssl_key_log proxy_ssl_name
        proxy_ssl_password_file proxy_ssl_protocols proxy_ssl_server_name
        proxy_ssl_session_reuse proxy_ssl_trusted_certificate proxy_ssl_verify
        proxy_ssl_verify_depth proxy_timeout proxy_upload_rate resolver resolver_timeout
        return server_name set set_real_ip_from ssl_alpn ssl_certificate
        ssl_certificate_cache ssl_certificate_compression ssl_certificate_key
        ssl_ciphers ssl_client_certificate ssl_conf_command ssl_crl ssl_dhparam
        ssl_ecdh_curve ssl_ech_file ssl_handshake_timeout ssl_key_log ssl_ocsp
        ssl_ocsp_cache ssl_ocsp_responder ssl_password_file ssl_prefer_server_ciphers
        ssl_preread ssl_protocols ssl_reject_handshake ssl_session_cache
        ssl_session_ticket_key ssl_session_tickets ssl_session_timeout ssl_stapling
        ssl_stapling_file ssl_stapling_responder ssl_stapling_verify
        ssl_trusted_certificate ssl_verify_client ssl_verify_depth tcp_nodelay
    """,
    "stream": """
        access_log allow deny error_log geo health_check_timeout keyval keyval_zone
        limit_conn limit_conn_dry_run limit_conn_log_level limit_conn_zone log_format
        map map_hash_bucket_size map_hash_max_size match mqtt mqtt_buffers mqtt_preread
        open_log_file_cache preread_buffer_size preread_timeout proxy_bind
        proxy_bind_dynamic proxy_buffer_size proxy_connect_timeout proxy_download_rate
        proxy_half_close proxy_next_upstream proxy_next_upstream_timeout
        proxy_next_upstream_tries proxy_protocol proxy_protocol_timeout proxy_requests
        proxy_responses proxy_session_drop proxy_socket_keepalive proxy_socket_rcvbuf
        proxy_socket_sndbuf proxy_ssl proxy_ssl_alpn proxy_ssl_certificate
        proxy_ssl_certificate_cache proxy_ssl_certificate_key proxy_ssl_ciphers
        proxy_ssl_conf_command proxy_ssl_crl proxy_ssl_key_log proxy_ssl_name
        proxy_ssl_password_file proxy_ssl_protocols proxy_ssl_server_name
        proxy_ssl_session_reuse proxy_ssl_trusted_certificate proxy_ssl_verify
        proxy_ssl_verify_depth proxy_timeout proxy_upload_rate resolver resolver_timeout
        server server_names_hash_bucket_size server_names_hash_max_size set_real_ip_from
        split_clients ssl_alpn ssl_certificate ssl_certificate_cache
        ssl_certificate_compression ssl_certificate_key ssl_ciphers
        ssl_client_certificate ssl_conf_command ssl_crl ssl_dhparam ssl_ecdh_curve
        ssl_ech_file ssl_handshake_timeout ssl_key_log ssl_ocsp ssl_ocsp_cache
        ssl_ocsp_responder ssl_password_file ssl_prefer_server_ciphers ssl_preread
        ssl_protocols ssl_reject_handshake ssl_session_cache ssl_session_ticket_key
        ssl_session_tickets ssl_session_timeout ssl_stapling ssl_stapling_file
        ssl_stapling_responder ssl_stapling_verify ssl_trusted_certificate
        ssl_verify_client ssl_verify_depth tcp_nodelay upstream
        variables_hash_bucket_size variables_hash_max_size
    """,
    "main": """
        daemon env error_log events load_module master_process pcre_jit pid stream
        thread_pool user worker_cpu_affinity worker_processes worker_rlimit_nofile
        worker_shutdown_timeout
    """,
    "stream.upstream": """
        hash least_conn least_time random resolver resolver_timeout server state zone
    """,
    "events": """
        accept_mutex accept_mutex_delay debug_connection multi_accept use
        worker_connections
    """,
    "http": """
        absolute_redirect access_log add_after_body add_before_body add_header
        add_header_inherit add_trailer add_trailer_inherit addition_types aio aio_write
        allow ancient_browser ancient_browser_value auth_basic auth_basic_user_file
        auth_delay auth_request auth_request_set autoindex autoindex_exact_size
        autoindex_format autoindex_localtime charset charset_types
        chunked_transfer_encoding client_body_buffer_size client_body_in_file_only
        client_body_in_single_buffer client_body_temp_path client_body_timeout
        client_header_buffer_size client_header_timeout client_max_body_size
        connection_pool_size create_full_put_path dav_access dav_methods default_type
        deny directio directio_alignment disable_symlinks early_hints error_log
        error_page etag expires geo gunzip gunzip_buffers gzip gzip_buffers
        gzip_comp_level gzip_disable gzip_hash gzip_http_version gzip_min_length
        gzip_no_buffer gzip_proxied gzip_static gzip_types gzip_vary gzip_window http2
        http2_body_preread_size http2_chunk_size http2_idle_timeout
        http2_max_concurrent_pushes http2_max_concurrent_streams http2_max_field_size
        http2_max_header_size http2_max_requests http2_pool_size http2_push
        http2_push_preload http2_recv_buffer_size http2_recv_timeout
        http2_streams_index_size http3 if_modified_since ignore_invalid_headers index
        keepalive_disable keepalive_min_timeout keepalive_requests keepalive_time
        keepalive_timeout keyval keyval_zone large_client_header_buffers limit_conn
        limit_conn_dry_run limit_conn_log_level limit_conn_status limit_conn_zone
        limit_rate limit_rate_after limit_req limit_req_dry_run limit_req_log_level
        limit_req_status limit_req_zone lingering_close lingering_time lingering_timeout
        log_format log_not_found log_subrequest map map_hash_bucket_size
        map_hash_max_size max_headers max_ranges merge_slashes min_delete_depth mirror
        mirror_request_body modern_browser modern_browser_value mp4_buffer_size
        mp4_max_buffer_size mp4_start_key_frame msie_padding msie_refresh
        open_file_cache open_file_cache_errors open_file_cache_events
        open_file_cache_min_uses open_file_cache_valid open_log_file_cache
        output_buffers override_charset port_in_redirect post_action postpone_gzipping
        postpone_output proxy_bind proxy_buffer_size proxy_buffering proxy_buffers
        proxy_busy_buffers_size proxy_cache proxy_cache_background_update
        proxy_cache_bypass proxy_cache_convert_head proxy_cache_key proxy_cache_lock
        proxy_cache_lock_age proxy_cache_lock_timeout proxy_cache_max_range_offset
        proxy_cache_methods proxy_cache_min_uses proxy_cache_path proxy_cache_revalidate
        proxy_cache_use_stale proxy_cache_valid proxy_connect_timeout
        proxy_cookie_domain proxy_cookie_flags proxy_cookie_path proxy_force_ranges
        proxy_headers_hash_bucket_size proxy_headers_hash_max_size proxy_hide_header
        proxy_http_version proxy_ignore_client_abort proxy_ignore_headers
        proxy_intercept_errors proxy_limit_rate proxy_max_temp_file_size proxy_method
        proxy_next_upstream proxy_next_upstream_timeout proxy_next_upstream_tries
        proxy_no_cache proxy_pass_header proxy_pass_request_body
        proxy_pass_request_headers proxy_pass_trailers proxy_read_timeout proxy_redirect
        proxy_request_buffering proxy_send_lowat proxy_send_timeout proxy_set_body
        proxy_set_header proxy_socket_keepalive proxy_socket_rcvbuf proxy_socket_sndbuf
        proxy_ssl_certificate proxy_ssl_certificate_key proxy_ssl_ciphers
        proxy_ssl_conf_command proxy_ssl_crl proxy_ssl_name proxy_ssl_password_file
        proxy_ssl_protocols proxy_ssl_server_name proxy_ssl_session_reuse
        proxy_ssl_trusted_certificate proxy_ssl_verify proxy_ssl_verify_depth
        proxy_store proxy_store_access proxy_temp_file_write_size proxy_temp_path
        read_ahead real_ip_header real_ip_recursive recursive_error_pages
        request_pool_size reset_timedout_connection resolver resolver_timeout
        rewrite_log root satisfy secure_link secure_link_md5 secure_link_secret
        send_lowat send_timeout sendfile sendfile_max_chunk server
        server_name_in_redirect server_names_hash_bucket_size server_names_hash_max_size
        server_tokens set_real_ip_from slice source_charset split_clients ssi
        ssi_ignore_recycled_buffers ssi_last_modified ssi_min_file_chunk
        ssi_silent_errors ssi_types ssi_value_length ssl ssl_buffer_size ssl_certificate
        ssl_certificate_key ssl_ciphers ssl_client_certificate ssl_conf_command ssl_crl
        ssl_dhparam ssl_early_data ssl_ecdh_curve ssl_ocsp ssl_ocsp_cache
        ssl_ocsp_responder ssl_password_file ssl_prefer_server_ciphers ssl_protocols
        ssl_reject_handshake ssl_session_cache ssl_session_ticket_key
        ssl_session_tickets ssl_session_timeout ssl_stapling ssl_stapling_file
        ssl_stapling_responder ssl_stapling_verify ssl_trusted_certificate
        ssl_verify_client ssl_verify_depth sub_filter sub_filter_last_modified
        sub_filter_once sub_filter_types subrequest_output_buffer_size tcp_nodelay
        tcp_nopush types types_hash_bucket_size types_hash_max_size
        underscores_in_headers uninitialized_variable_warn upstream userid userid_domain
        userid_expires userid_flags userid_mark userid_name userid_p3p userid_path
        userid_service variables_hash_bucket_size variables_hash_max_size
    """,
    "http.server": """
        break if listen location referer_hash_bucket_size referer_hash_max_size return
        rewrite server_name set stub_status try_files valid_referers
    """,
    "http.location": """
        alias break empty_gif fastcgi_pass flv grpc_pass health_check if internal
        limit_except location memcached_pass mp4 proxy_pass random_index
        referer_hash_bucket_size referer_hash_max_size return rewrite scgi_pass set
        stub_status try_files uwsgi_pass valid_referers
    """,
    "http.upstream": """
        hash ip_hash keepalive keepalive_requests keepalive_time keepalive_timeout
        least_conn least_time queue random resolver resolver_timeout server state sticky
        zone
    """,
}
PLACES = [(name, context) for context, names in NGINX.items() for name in names.split()]


@pytest.mark.parametrize(("name", "context"), PLACES)
def test_a_directive_of_nginx_is_done_or_its_lack_is_told(name, context):
    row = find(name, context)
    assert row is not None
    assert row.status in {Status.HERE, Status.IGNORED, Status.LATER, Status.REFUSED}
    assert row.status is Status.HERE or row.reason


@pytest.mark.parametrize(("name", "context"), PLACES)
def test_what_is_refused_is_named(folder, name, context):
    row = find(name, context)
    if row.status not in {Status.LATER, Status.REFUSED}:
        return
    count = {"flag": 1}.get(row.args) or int(row.args.rstrip("+").split(",")[0])
    words = " ".join(["other"] * count) if row.args != "flag" else "on"
    line = f"{name} {words} {'{ }' if row.opens else ';'}"
    around = {
        "main": f"{line} events {{}}",
        "events": f"events {{ {line} }}",
        "stream": f"events {{}} stream {{ {line} }}",
        "stream.server": f"events {{}} stream {{ server {{ listen 1; return x; {line} }} }}",
        "stream.upstream": f"events {{}} stream {{ upstream a {{ server 10.0.0.1:1; {line} }} }}",
        "http": f"events {{}} http {{ {line} }}",
        "http.server": f"events {{}} http {{ server {{ listen 1; {line} }} }}",
        "http.location": f"events {{}} http {{ server {{ listen 1; location / {{ {line} }} }} }}",
        "http.upstream": f"events {{}} http {{ upstream a {{ server 10.0.0.1:1; {line} }} }}",
    }
    (error, *_others) = folder.errors(around[context])
    assert f'"{name}"' in error
