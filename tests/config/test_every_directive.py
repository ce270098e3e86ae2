"""No directive of nginx (1.31) for `stream` and the whole is unknown: each is done, ignored with a
warning that says why, or refused with one."""

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
    words = " ".join(["on"] * count)
    line = f"{name} {words} {'{ }' if row.opens else ';'}"
    around = {
        "main": f"{line} events {{}}",
        "events": f"events {{ {line} }}",
        "stream": f"events {{}} stream {{ {line} }}",
        "stream.server": f"events {{}} stream {{ server {{ listen 1; return x; {line} }} }}",
        "stream.upstream": f"events {{}} stream {{ upstream a {{ server 10.0.0.1:1; {line} }} }}",
    }
    (error, *_others) = folder.errors(around[context])
    assert f'"{name}"' in error
