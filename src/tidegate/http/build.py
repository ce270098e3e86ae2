"""From `http {}` of the model to addresses where sessions can begin: everything compiled, once."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from tidegate.balance.ip_hash import key_of
from tidegate.config import model, model_http
from tidegate.config.model import Level
from tidegate.config.urls import split_uri
from tidegate.http import redirects, websocket
from tidegate.http.local import folder
from tidegate.http.locations import REGEX, REGEX_CASELESS, Place, Tree
from tidegate.http.proxy_heads import HOST, RequestWriter
from tidegate.http.proxy_response import ResponseWriter
from tidegate.http.realip import PROXY_PROTOCOL
from tidegate.http.server import (
    HttpPort,
    Location,
    Page,
    ProxyLimits,
    Returns,
    Rules,
    VirtualServer,
)
from tidegate.http.variables import LATE, kept, with_computed
from tidegate.stream.access import compile_rules
from tidegate.stream.build import key_of_method, sources_of
from tidegate.stream.limit_conn import Limit, Limits
from tidegate.stream.mqtt_rules import MqttRules, Setting
from tidegate.stream.mqtt_variables import OF_CONNACK
from tidegate.stream.proxy import Proxy
from tidegate.stream.route import Route
from tidegate.variables.computed import needed
from tidegate.variables.server_names import Names
from tidegate.variables.template import DIGITS, compile_template, names
from tidegate.variables.values import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tidegate.balance.single import Single
    from tidegate.balance.upstream import Upstream
    from tidegate.config.span import Span
    from tidegate.engine.loop import Engine
    from tidegate.engine.tls_context import Context
    from tidegate.http.gauges import Gauges
    from tidegate.http.session import HttpSession
    from tidegate.scoreboard.zone import Zone
    from tidegate.stream.build import Logs
    from tidegate.stream.refusals import Refusals
    from tidegate.stream.server import ErrorLog
    from tidegate.stream.tls import Contexts
    from tidegate.stream.tls_pairs import PairFiles
    from tidegate.variables.template import Template

    Text = Callable[[Any], str]


# Names of variables that are fields: of a request, and of what the client is answered.
FIELD = "http_"
SENT_FIELD = "sent_http_"


class Builder:
    """Builds the addresses of one configuration; the parameters are those of stream's builder.

    `local` is the path of the control process's socket.
    """

    def __init__(
        self,
        http: model_http.Http,
        *,
        engine: Engine,
        logs: Logs,
        refusals: Refusals,
        upstreams: Mapping[str, tuple[model.Upstream, Upstream]],
        zones: Mapping[str, tuple[model.LimitConnZone, Zone]],
        contexts: Contexts,
        gauges: Gauges,
        local: str | None,
    ) -> None:
        self._http = http
        self._engine = engine
        self._logs = logs
        self._refusals = refusals
        self._upstreams = upstreams
        self._zones = zones
        self._contexts = contexts
        self._gauges = gauges
        self._local = local
        self._variables = dict(http.variables)
        self._getters = with_computed(self._variables)
        self._made: list[Location] = []  # of the server that is being built
        self._types: dict[tuple[tuple[str, str], ...], Mapping[str, str]] = {}

    # --- addresses and servers ---

    def ports(self) -> list[HttpPort]:
        """Every address with the servers that listen there."""
        made = [(one, self._server(one)) for one in self._http.servers]
        found: dict[str, list[tuple[model_http.HttpListen, model_http.HttpServer]]] = {}
        servers = {one.span: server for one, server in made}
        for one in self._http.servers:
            for listen in one.listens:
                found.setdefault(listen.listen.address.text, []).append((listen, one))
        return [self._port(here, servers) for here in found.values()]

    def _port(
        self,
        here: list[tuple[model_http.HttpListen, model_http.HttpServer]],
        servers: Mapping[Span, VirtualServer],
    ) -> HttpPort:
        listen, default = next((one for one in here if one[0].default), here[0])
        tls: Context | None = None
        pairs: PairFiles | None = None
        rules: dict[VirtualServer, Rules] = {}
        if default.tls is not None and any(one.listen.ssl for one, _server in here):
            others = [
                one
                for _listen, one in here
                if one.tls is not None and one.tls.shakes and one.tls != default.tls
            ]
            tls = self._contexts.of_address(default.tls, asks_rules=bool(others))
            pairs = self._contexts.pairs(default, self._getters)
            rules = {servers[one.span]: self._rules(one) for one in others}
        return HttpPort(
            listen.listen,
            Names(((one.names, servers[one.span]) for _l, one in here), servers[default.span]),
            gauges=self._gauges,
            tls=tls,
            pairs=pairs,
            rules=rules,
            local=self._local,
        )

    def _rules(self, server: model_http.HttpServer) -> Rules:
        assert server.tls is not None
        context = self._contexts.of_address(server.tls)
        return Rules(server.tls, context, self._contexts.pairs(server, self._getters))

    def _server(self, server: model_http.HttpServer) -> VirtualServer:
        outside = self._location(server, server.outside)
        virtual = VirtualServer(
            server,
            outside=outside,
            tree=self._tree(server, server.locations, outside),
            returns=self._returns(server.returns),
        )
        for one in (outside, *self._made):
            one.virtual = virtual
        self._made = []
        return virtual

    def _tree(
        self,
        server: model_http.HttpServer,
        locations: tuple[model_http.Location, ...],
        outside: Location,
    ) -> Tree[Location]:
        places = []
        for one in locations:
            made = self._location(server, one)
            self._made.append(made)
            places.append(
                Place(
                    one.match or "",
                    encode(one.text),
                    made,
                    self._tree(server, one.nested, outside),
                    redirects=made.request is not None,
                )
            )
        return Tree(places)

    # --- locations ---

    def _location(self, server: model_http.HttpServer, one: model_http.Location) -> Location:
        error_log = self._logs.error_log(one.error_logs)
        content = one.content
        logged = self._logged(one)
        assignments = [*server.assignments]
        if one is not server.outside:
            assignments += one.assignments
        remembered = tuple(sorted(logged - LATE - self._variables.keys() - DIGITS))
        getters = kept(self._getters, remembered)
        location = Location(
            engine=self._engine,
            limits=self._limits(one),
            denies=compile_rules(one.access),
            nodelay=one.tcp_nodelay,
            mqtt=self._mqtt_rules(content, logged),
            refusals=self._refusals,
            header_timeout_ms=server.proxy_protocol_timeout_ms or 1,
            real_ip_from=one.real_ip_from if one.real_ip_header == PROXY_PROTOCOL else (),
            preread_size=0,
            preread_timeout_ms=0,
            proxy=self._proxy(one, content, error_log),
            route=self._route(one, content, error_log),
            text=lambda _session: "",
            error_log=error_log,
            access_logs=tuple(self._logs.access_log(log, getters) for log in one.access_logs),
            keeps_address=False,
            tls=None,
            assignments=tuple((each.name, self._text(each.value)) for each in assignments),
            logged=frozenset(logged & {*self._variables, *DIGITS}),
            tlvs=self._http.tlvs,
        )
        location.tells_all = False
        location.model = one
        shown = any(name.startswith(SENT_FIELD) for name in logged)
        location.shows_answer = shown or bool(one.add_headers)
        location.last_kept = location.last_told = None
        location.kept = tuple((name, self._getters[name]) for name in remembered)
        location.add_headers = tuple(
            (encode(each.name), self._text(each.value), each.always) for each in one.add_headers
        )
        location.error_pages = {}
        for page in one.error_pages:
            location.error_pages.setdefault(page.code, Page(page.status, self._text(page.uri)))
        self._fill(location, one, content)
        location.straight = goes_straight(location)
        return location

    def _fill(
        self, location: Location, one: model_http.Location, content: model_http.HttpContent
    ) -> None:
        """What the location serves."""
        location.returns = None
        location.request = location.response = location.folder = None
        location.status = isinstance(content, model_http.StubStatus)
        location.uri_prefix = 0
        location.target = None
        location.shake_hands = None if location.mqtt is None else websocket.begin
        location.unwraps = False
        location.preread_timeout_ms = 0
        match content:
            case model_http.HttpReturn():
                location.returns = self._returns(content)
            case model_http.Files():
                location.folder = folder(one, content, self._text, self._types)
            case model_http.HttpProxy():
                self._fill_proxy(location, one, content)

    def _fill_proxy(
        self, location: Location, one: model_http.Location, proxy: model_http.HttpProxy
    ) -> None:
        by_regex = one.match in (REGEX, REGEX_CASELESS)
        location.uri_prefix = 0 if by_regex else len(encode(one.text))
        location.proxy_limits = ProxyLimits(proxy)
        location.unwraps = proxy.websocket_to_tcp
        location.preread_timeout_ms = proxy.preread_timeout_ms or 1
        by_name = isinstance(proxy.upstream, str)
        location.target = None if isinstance(proxy.upstream, str) else self._text(proxy.upstream)
        uri = proxy.uri
        location.request = RequestWriter(
            version=proxy.http_version,
            fields=[
                (each.name, self._text(each.value), each.value.constant, self._field(each.value))
                for each in proxy.set_headers
            ],
            uri=None if uri is None else self._text(uri),
            whole_uri=uri is not None and (uri.constant is None or by_regex or not by_name),
            pass_headers=proxy.pass_request_headers,
            pass_body=proxy.pass_request_body,
        )
        location.response = ResponseWriter(
            hide=proxy.hide_headers,
            passing=proxy.pass_headers,
            redirect=redirects.rewriter(proxy, one, self._text),
            tokens=one.server_tokens,
        )

    def _mqtt_rules(self, content: model_http.HttpContent, logged: set[str]) -> MqttRules | None:
        """What is done with the MQTT of a location, where it is read.

        What is no CONNECT is always refused: nothing was agreed on but MQTT. The log asks for its
        variables as for others.
        """
        if not isinstance(content, model_http.HttpProxy) or content.mqtt is None:
            return None
        return MqttRules(
            content.mqtt,
            settings=tuple(
                Setting(one.field, self._text(one.value), one.keep_if_empty)
                for one in content.mqtt.set_connect
            ),
            kept=(),
            kept_without=(),
            reads_connack=bool(logged & OF_CONNACK.keys()),
            limited=True,
        )

    def _returns(self, one: model_http.HttpReturn | None) -> Returns | None:
        if one is None:
            return None
        text = None if one.text is None else self._text(one.text)
        return Returns(one.status, text, redirect=one.redirect)

    def _text(self, template: Template) -> Text:
        return compile_template(template, self._getters)

    def _field(self, template: Template) -> bytes | None:
        """The client's field that a text is, where it is one and nothing else."""
        name = template.single
        if name == "host":
            return HOST
        if name is None or name in self._variables or not name.startswith(FIELD):
            return None
        return name.removeprefix(FIELD).replace("_", "-").encode() or None

    def _logged(self, one: model_http.Location) -> set[str]:
        logged: set[str] = set()
        for log in one.access_logs:
            for read in (log.format.template, log.name, log.condition):
                logged |= names(read) if read is not None else set()
        return needed(logged, self._variables)

    def _limits(self, one: model_http.Location) -> Limits | None:
        if one.limit_conns is None:
            return None
        early = []
        for limit in one.limit_conns.limits:
            described, zone = self._zones[limit.zone]
            key = self._text(described.key)
            early.append(Limit(zone, limit.zone, key, str(described.key), limit.most))
        return Limits(
            early=early,
            late=(),
            level=one.limit_conns.log_level,
            dry_run=one.limit_conns.dry_run,
            doing="",
        )

    # --- nodes ---

    def _proxy(
        self,
        one: model_http.Location,
        content: model_http.HttpContent,
        error_log: ErrorLog,
    ) -> Proxy | None:
        if not isinstance(content, model_http.HttpProxy) or not isinstance(content.upstream, str):
            return None
        return self._way(one, content, error_log, content.upstream)

    def _route(
        self,
        one: model_http.Location,
        content: model_http.HttpContent,
        error_log: ErrorLog,
    ) -> Route | None:
        if not isinstance(content, model_http.HttpProxy) or isinstance(content.upstream, str):
            return None
        target = self._text(content.upstream)
        return Route(
            lambda session: split_uri(target(session))[0],
            self._upstreams,
            partial(self._way, one, content, error_log),
            port=443 if content.secure else 80,
        )

    def _way(
        self,
        one: model_http.Location,
        content: model_http.HttpProxy,
        error_log: ErrorLog,
        to: str | Single,
    ) -> Proxy:
        """A way to the upstream of that name, or to an address."""
        upstream: Upstream | Single
        key: Callable[[Any], bytes] | None = None
        if isinstance(to, str):
            described, upstream = self._upstreams[to]
            if isinstance(described.method, model.IpHash):
                key = _client_key
            else:
                key = key_of_method(described.method, self._getters)
        else:
            upstream = to
        plain = plan_of(content, upstream.name)
        return Proxy(
            plain,
            upstream,
            nodelay=one.tcp_nodelay,
            sources=sources_of(content.bind, upstream.peers, self._getters),
            key=key,
            notify=error_log.enabled(Level.INFO),
            tls=self._contexts.to_upstream(
                plain, upstream.name, len(upstream.peers), self._getters
            ),
        )


def goes_straight(location: Location) -> bool:
    """Whether a location has nothing to ask before its node is chosen."""
    asked = (location.limits, location.denies, location.returns, location.route)
    return (
        location.request is not None
        and location.shake_hands is None
        and all(one is None for one in asked)
        and not location.model.internal
        and not location.model.real_ip_from
    )


def _client_key(session: HttpSession) -> bytes:
    return key_of(*session.client_endpoint[:2])


def plan_of(content: model_http.HttpProxy, upstream: str) -> model.Proxy:
    """What a `proxy_pass` of http says of the connection itself, as stream has it."""
    return model.Proxy(
        upstream=upstream,
        connect_timeout_ms=content.connect_timeout_ms,
        timeout_ms=content.read_timeout_ms,
        buffer_size=content.buffer_size,
        protocol=content.protocol,
        bind=content.bind,
        next_upstream=bool(content.next_upstream),
        next_upstream_tries=content.next_upstream_tries,
        next_upstream_timeout_ms=content.next_upstream_timeout_ms,
        socket_keepalive=content.socket_keepalive,
        half_close=False,
        session_drop=content.session_drop,
        upload_rate=0,
        download_rate=0,
        tls=content.tls,
        span=content.span,
    )
